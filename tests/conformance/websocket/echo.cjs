// Echo servers on Node's `ws`: /plain, /deflate (compresses all), /small (messages of 1 KiB at most).
// Prints its port, then a line for each ended connection with the server's observations.
const http = require('node:http')
const crypto = require('node:crypto')
const { WebSocketServer } = require('ws')

const print = (event) => process.stdout.write(JSON.stringify(event) + '\n')
const digest = (data) => data.length > 64 ? crypto.createHash('sha256').update(data).digest('hex') : data.toString('hex')
const protocols = { handleProtocols: (offered) => [...offered].find((name) => name === 'echo') ?? false }
const servers = {
  '/plain': new WebSocketServer({ noServer: true, ...protocols }),
  '/deflate': new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 }, ...protocols }),
  '/small': new WebSocketServer({ noServer: true, maxPayload: 1024 }),
  '/small-deflate': new WebSocketServer({ noServer: true, maxPayload: 1024, perMessageDeflate: { threshold: 0 } }),
}

const server = http.createServer((request, response) => response.writeHead(404).end())
server.on('upgrade', (request, socket, head) => {
  const path = request.url.split('?')[0]
  const sockets = servers[path]
  if (!sockets) return socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  sockets.handleUpgrade(request, socket, head, (ws) => record(ws, request.url))
})

function record (ws, url) {
  const seen = []
  ws.on('message', (data, binary) => {
    seen.push([binary ? 'binary' : 'text', data.length, digest(data)])
    ws.send(data, { binary })
  })
  ws.on('ping', (data) => seen.push(['ping', data.length, digest(data)]))
  ws.on('pong', (data) => seen.push(['pong', data.length, digest(data)]))
  ws.on('error', (error) => seen.push(['error', 0, error.code ?? error.name]))
  ws.on('close', (code, reason) => print({ url, seen, code, reason: reason.toString('hex') }))
}

server.listen(0, '127.0.0.1', () => print({ port: server.address().port }))
