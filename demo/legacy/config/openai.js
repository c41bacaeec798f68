const OpenAI = require("openai");

exports.MODEL = "gpt-4o";

exports.openai = new OpenAI({
  apiKey: process.env.OPENAI_API_KEY,
  baseURL: process.env.OPENAI_BASE_URL || undefined,
});

exports.complete = async function complete(instructions, content) {
  const completion = await exports.openai.chat.completions.create({
    model: exports.MODEL,
    messages: [
      { role: "system", content: instructions },
      { role: "user", content },
    ],
  });
  return completion.choices[0].message.content;
};
