// A bare Node server: the upstream of every contender, and the upper bound of their speed.
'use strict';
const http = require('node:http');

const small = JSON.stringify({ text: 'x'.repeat(2389) });
const large = Buffer.alloc(1 << 20, 'x');

http
  .createServer((request, response) => {
    if (request.url === '/1mib') {
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': large.length });
      response.end(large);
    } else {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': small.length });
      response.end(small);
    }
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
