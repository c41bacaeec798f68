'use strict'
// Evaluates functions of the legacy's libraries, and of Node itself, one call a line: [name, ...arguments] -> [answer] or {error}.
const need = require('node:module').createRequire(require('node:path').join(__dirname, '../../demo/legacy/package.json'))
const jwt = need('jsonwebtoken')
const bcrypt = need('bcrypt')
const iconv = need('iconv-lite')
const encodeUrl = need('encodeurl')
const parseUrl = need('parseurl')
const OpenAI = need('openai')
const querystring = require('node:querystring')
const subprotocol = need('./node_modules/ws/lib/subprotocol.js')

const questions = {
  verify: (token, secret, clockTimestamp) => {
    try {
      const payload = jwt.verify(token, secret, { clockTimestamp })
      return { payload: payload === undefined ? 'undefined' : payload }
    } catch (error) {
      return { expired: error.name === 'TokenExpiredError', message: error.message }
    }
  },
  sign: (claims, secret) => jwt.sign(claims, secret, { expiresIn: '1h' }),
  query: (text) => querystring.parse(text),
  subprotocols: (header) => [...subprotocol.parse(header)],
  charset: (base64, charset) => iconv.decode(Buffer.from(base64, 'base64'), charset),
  retryDelay: (headers) => {
    const client = new OpenAI({ apiKey: 'any' })
    const wait = setTimeout
    let delay = null
    client.calculateDefaultRetryTimeoutMillis = () => null
    globalThis.setTimeout = (_, milliseconds) => { delay = milliseconds }
    client.retryRequest({}, 1, 'log', new Headers(headers))
    globalThis.setTimeout = wait
    return delay
  },
  encodeUrl: (text) => encodeUrl(text),
  target: (url) => {
    const parsed = parseUrl({ url })
    return [parsed.pathname, parsed.query]
  },
  decode: (text) => decodeURIComponent(text),
  hash: (password, salt) => bcrypt.hashSync(password, salt),
  compare: (password, hash) => bcrypt.compareSync(password, hash)
}

require('node:readline').createInterface({ input: process.stdin, terminal: false }).on('line', (line) => {
  const [name, ...values] = JSON.parse(line)
  let answer
  try {
    answer = [questions[name](...values)]
  } catch (error) {
    answer = { error: error.message }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
})
