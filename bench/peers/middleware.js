// http-proxy-middleware as its README shows it, with a keep-alive agent, which it runs faster with.
'use strict';
const http = require('node:http');
const express = require('express');
const { createProxyMiddleware } = require('http-proxy-middleware');

const [port, target] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });
const app = express();
app.use(createProxyMiddleware({ target, agent, xfwd: true }));
app.listen(Number(port), '127.0.0.1');
