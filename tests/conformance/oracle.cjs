'use strict';
/* Reads one JSON document a line ({kind, bytes, method}) and answers each with what Node's own HTTP reads in the bytes.
 * Kinds: answer; strict and framing for requests; stepped, which is strict and gives the server one byte at a time. */
const http = require('http');
const readline = require('readline');
const { Duplex } = require('stream');

class Wire extends Duplex {
  constructor() {
    super({ allowHalfOpen: true, autoDestroy: true });
    this.written = [];
    this.on('error', () => {});
  }
  _read() {}
  _write(chunk, _encoding, done) {
    this.written.push(chunk);
    done();
  }
  setTimeout() { return this; }
  setNoDelay() { return this; }
  setKeepAlive() { return this; }
  ref() { return this; }
  unref() { return this; }
}

let seen;
function serve(request, response) {
  const record = {
    method: request.method, target: request.url, headers: request.rawHeaders, body: '', trailers: [], complete: false,
  };
  seen.push(record);
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  const finish = () => {
    record.body = Buffer.concat(chunks).toString('base64');
    record.trailers = request.rawTrailers;
    record.complete = request.complete;
  };
  request.on('end', finish);
  request.on('close', finish);
  request.on('error', () => {});
  request.on('end', () => { response.setHeader('X-Echo', request.url.replace(/[^\x21-\x7e]/g, '')); response.end('.'); });
}
/* Node as it comes, and a reader that looks only at the framing: it takes any Expect for a request like others. */
const servers = { strict: http.createServer(serve), framing: http.createServer(serve), stepped: http.createServer(serve) };
servers.framing.on('checkExpectation', serve);
servers.framing.on('checkContinue', serve);

/* Turns of the event loop between two pieces. */
const STEPS = 4;

function settle(wire, done) {
  let last = -1;
  let calm = 0;
  const look = () => {
    const size = wire.written.length + seen.length + wire.readableLength;
    calm = size === last ? calm + 1 : 0;
    last = size;
    if (calm >= 8) done(); else setImmediate(look);
  };
  setImmediate(look);
}

/* Gives the server each piece when it has answered the pieces before it. */
function give(wire, pieces, done) {
  if (pieces.length === 0 || wire.destroyed || wire.writableEnded) return settle(wire, done);
  wire.push(pieces[0]);
  let left = STEPS;
  const wait = () => { if (left-- > 0) setImmediate(wait); else give(wire, pieces.slice(1), done); };
  wait();
}

function readRequests(server, bytes, done) {
  seen = [];
  const mine = seen;
  const wire = new Wire();
  server.emit('connection', wire);
  give(wire, server === servers.stepped ? Array.from(bytes, (byte) => Buffer.of(byte)) : [bytes], () => {
    const answers = Buffer.concat(wire.written).toString('latin1');
    const closed = wire.destroyed || wire.writableEnded;
    wire.destroy();
    setImmediate(() => setImmediate(() => done({ requests: mine, answers, closed })));
  });
}

function readAnswer(bytes, method, done) {
  const wire = new Wire();
  const result = { status: 0, body: '', complete: false, error: '', interim: 0 };
  let over = false;
  const end = () => {
    if (over) return;
    over = true;
    wire.destroy();
    done(result);
  };
  const agent = new http.Agent({ keepAlive: true });
  agent.createConnection = () => wire;
  const request = http.request({ method, path: '/', agent, host: 'a' }, (response) => {
    result.status = response.statusCode;
    const chunks = [];
    response.on('data', (chunk) => chunks.push(chunk));
    response.on('error', (error) => { result.error = error.code || 'error'; });
    response.on('close', () => {
      result.body = Buffer.concat(chunks).toString('base64');
      result.complete = response.complete;
      end();
    });
  });
  request.on('information', () => { result.interim += 1; });
  request.on('upgrade', (response) => { result.status = response.statusCode; result.error = 'upgrade'; end(); });
  request.on('error', (error) => { result.error = error.code || 'error'; setImmediate(end); });
  request.end();
  setImmediate(() => {
    wire.push(bytes);
    wire.push(null);
    setTimeout(end, 200).unref();
  });
}

const queue = [];
let busy = false;
function next() {
  if (busy || queue.length === 0) return;
  busy = true;
  const { kind, bytes, method } = JSON.parse(queue.shift());
  const done = (result) => {
    process.stdout.write(JSON.stringify(result) + '\n');
    busy = false;
    next();
  };
  const raw = Buffer.from(bytes, 'base64');
  if (kind === 'answer') readAnswer(raw, method, done); else readRequests(servers[kind], raw, done);
}
readline.createInterface({ input: process.stdin }).on('line', (line) => { queue.push(line); next(); });
