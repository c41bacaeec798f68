// Real mongoose: reads a JSON array of calls a line, and writes an array of their results a line.
'use strict';
const mongoose = require('mongoose');
const { BSON } = mongoose.mongo;
const { EJSON } = BSON;
const { Schema } = mongoose;
const id = (ref, more) => ({ type: Schema.Types.ObjectId, ref, ...more });
const required = { required: true };

const models = {
  users: {
    username: { type: String, required: true, trim: true },
    email: { type: String, required: true, lowercase: true, unique: true },
    password: { type: String, required: true },
    role: { type: String, enum: ['patient', 'clinician'], required: true },
    prompts: [id('prompts')], notes: [id('notes')], transcripts: [id('transcripts')],
    createdAt: { type: Date, default: Date.now },
  },
  blacktokens: { blackToken: { type: String, required: true } },
  consultations: {
    clinician: id('users', required), patient: { type: Schema.Types.Mixed }, transcript: id('transcripts'),
    notes: [id('notes')], started_at: { type: Date, default: Date.now }, ended_at: { type: Date },
    status: { type: String, enum: ['active', 'ended'], default: 'active' },
  },
  transcripts: {
    clinician: id('users', required), consultation: id('consultations', required), transcript_text: { type: String },
    summary: { type: Schema.Types.Mixed }, prompt_used: id('prompts'),
    created_at: { type: Date, default: Date.now }, updated_at: { type: Date },
  },
  notes: {
    clinician: id('users', required), transcript: id('transcripts', required),
    consultation: id('consultations', required), body: { type: String, required: true, trim: true },
    created_at: { type: Date, default: Date.now }, updated_at: { type: Date, default: Date.now },
  },
  prompts: {
    prompt_name: { type: String, required: true, trim: true }, prompt_text: { type: String, required: true, trim: true },
    is_shareable: { type: Boolean, default: false }, is_deleted: { type: Boolean, default: false },
    clinician: id('users', required), transcript_ids: [id('transcripts')],
    created_at: { type: Date, default: Date.now }, updated_at: { type: Date },
  },
};
for (const [name, definition] of Object.entries(models)) {
  const options = { autoIndex: false, autoCreate: false };
  if (name === 'notes' || name === 'blacktokens') options.versionKey = false;
  mongoose.model(name, new Schema(definition, options), name);
}

const reviveMarks = (value) => {
  if (Array.isArray(value)) return value.map(reviveMarks);
  if (value === null || typeof value !== 'object') return value;
  if (value['\u0001'] === 'undefined') return undefined;
  if (value['\u0001'] === 'ejson') return EJSON.deserialize(value.value, { relaxed: true });
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, reviveMarks(item)]));
};
// as the driver would store it, types and all
const stored = (value) => EJSON.serialize(
  BSON.deserialize(BSON.serialize({ value }, { ignoreUndefined: false }),
    { promoteValues: false, promoteLongs: false, bsonRegExp: true }), { relaxed: false }).value;
const failure = (error) => ({
  name: error.name, message: error.message,
  json: error instanceof mongoose.Error.CastError ? JSON.stringify(error) : undefined,
});
const now = (document) => {
  const text = JSON.stringify(document);
  return text;
};

// A document in extended JSON, or its BSON in base64.
const bsonOf = (document) => typeof document === 'string' ? Buffer.from(document, 'base64')
  : BSON.serialize(EJSON.deserialize(document, { relaxed: false }));

const readDocument = (model, document, select) => {
  const parsed = BSON.deserialize(bsonOf(document));
  const Model = mongoose.model(model);
  const read = new Model(undefined, select, { skipId: true, isNew: false, willInit: true });
  read.init(parsed);
  return read;
};

const answers = {
  async show({ model, document }) {
    return { json: now(readDocument(model, document)) };
  },
  async create({ model, values }) {
    const document = new (mongoose.model(model))(values);
    try { await document.validate(); } catch (error) { return { error: failure(error), json: now(document) }; }
    const insert = document.toObject({ bson: true, transform: false, virtuals: false, getters: false,
      omitUndefined: true, _skipDepopulateTopLevel: true, depopulate: true, flattenDecimals: false, useProjection: false });
    return { stored: stored(insert), json: now(document) };
  },
  async filter({ model, filter }) {
    const query = mongoose.model(model).findOne(filter);
    return { stored: stored(query.cast(mongoose.model(model), query._conditions)) };
  },
  async update({ model, update }) {
    const query = mongoose.model(model).findOneAndUpdate({}, update, { new: true });
    return { stored: stored(query._castUpdate(query._update)) };
  },
  async read({ model, document, select, push, set }) {
    const read = readDocument(model, document, select);
    const answer = { json: now(read) };
    for (const [path, value] of Object.entries(set || {})) read[path] = value;
    for (const [path, value] of Object.entries(push || {})) read[path].push(value);
    answer.changed = now(read);
    try { await read.validate(); } catch (error) { return { ...answer, error: failure(error) }; }
    const delta = read.$__delta();
    if (delta) answer.delta = stored(delta.map((part) => part || {}));
    return answer;
  },
};

// mongoose throws some errors where nothing awaits them, which would end the process
let fail;
process.on('uncaughtException', (error) => fail(error));

const answerTo = async (question) => {
  try {
    const revived = reviveMarks(question);
    return await Promise.race([answers[revived.ask](revived), new Promise((_, reject) => { fail = reject; })]);
  } catch (error) {
    return { error: failure(error) };
  }
};

require('readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const several = [];
  for (const question of JSON.parse(line)) several.push(await answerTo(question));
  process.stdout.write(JSON.stringify(several) + '\n');
});
