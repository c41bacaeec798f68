'use strict'
// The legacy's own clients of the model and of the terminology server: one call a line, [name, text] -> {value} or {error}.
const { complete, openai } = require('../../demo/legacy/config/openai')
const { expand } = require('../../demo/legacy/services/terminology.service')

openai.calculateDefaultRetryTimeoutMillis = () => 1
const first = (codes) => {
  let shown
  codes.forEach((item) => { shown ??= { name: item.display, code: item.code, url: item.system } })
  return shown
}
const calls = {
  complete: (text) => complete('instructions', text),
  expand: async (text) => first(await expand(text))
}

require('node:readline').createInterface({ input: process.stdin, terminal: false }).on('line', async (line) => {
  const [name, text] = JSON.parse(line)
  let answer
  try {
    answer = { value: await calls[name](text) }
  } catch (error) {
    answer = { error: error.message }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
})
