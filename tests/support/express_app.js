'use strict'
// The real libraries, in an application that answers with their results for a request.
// Its twin is in express_twin.py; prints its port.
const need = require('node:module').createRequire(require('node:path').join(__dirname, '../../demo/legacy/package.json'))
const express = need('express')
const cors = need('cors')

const app = express()
app.use(cors({
  origin: ['https://scribe-project-nextjs.vercel.app', 'http://localhost:3000', 'http://localhost:3001'],
  methods: ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'],
  allowedHeaders: ['Content-Type', 'Authorization'],
  credentials: true
}))
app.get('/', (req, res) => res.json({ msg: 'welcome to the server' }))
app.use(express.json({ limit: '2kb' }))

function echo (name) {
  return (req, res) => res.json({
    name,
    params: { ...req.params },
    query: { ...req.query },
    path: req.path,
    url: req.originalUrl,
    body: req.body === undefined ? 'no body' : req.body
  })
}

const things = express.Router()
things.get('/', echo('list'))
things.post('/', echo('create'))
things.get('/fixed', echo('fixed'))
things.get('/:id', echo('one'))
things.patch('/:id/add/:other', echo('add'))
things.post('/:id/end', echo('end'))
things.delete('/:id', echo('remove'))

app.use('/echo', echo('echo'))
app.use('/things', things)
app.use('/api/things', (req, res, next) => {
  if (!req.headers.authorization) return res.status(401).json({ msg: 'no' })
  next()
}, things)
app.get('/headers', (req, res) => {
  const { host, connection, ...headers } = req.headers
  res.json(Object.fromEntries(Object.entries(headers).sort()))
})
app.get('/status/:code', (req, res) => res.status(Number(req.params.code)).json({ code: req.params.code }))
app.get('/fail/:code', (req) => {
  throw Object.assign(new Error('boom'), { status: Number(req.params.code), headers: { 'retry-after': '5' } })
})
app.post('/take', (req, res) => {
  const { a, b } = req.body
  res.json({ a, b })
})

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port))
