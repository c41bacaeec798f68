'use strict'
// The legacy's own clients of the model and of the terminology server: one call a line,
// [name, text] -> {value, delays} or {error, delays}. A pause before a repetition is recorded, and takes no time.
const pausing = require('../../demo/legacy/node_modules/openai/internal/utils/sleep.js')
const { toFile } = require('../../demo/legacy/node_modules/openai')
const { complete, openai } = require('../../demo/legacy/config/openai')
const { expand } = require('../../demo/legacy/services/terminology.service')

let delays = [] // milliseconds, null for the default
openai.calculateDefaultRetryTimeoutMillis = () => null
pausing.sleep = async (milliseconds) => { delays.push(milliseconds) }
const first = (codes) => {
  let shown
  codes.forEach((item) => { shown ??= { name: item.display, code: item.code, url: item.system } })
  return shown
}
const calls = {
  complete: (text) => complete('instructions', text),
  transcribe: async (text) => {
    const file = await toFile(Buffer.from('audio'), `temp-${text}webm`)
    const options = { model: 'whisper-1', language: 'en', response_format: 'text', temperature: 0.2 }
    return (await openai.audio.transcriptions.create({ file, ...options })).trim()
  },
  expand: async (text) => first(await expand(text))
}

require('node:readline').createInterface({ input: process.stdin, terminal: false }).on('line', async (line) => {
  const [name, text] = JSON.parse(line)
  let answer
  delays = []
  try {
    answer = { value: await calls[name](text) }
  } catch (error) {
    answer = { error: error.message }
  }
  answer.delays = delays
  process.stdout.write(JSON.stringify(answer) + '\n')
})
