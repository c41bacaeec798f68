// Answers one question a line, ["question", ...values], with ["answer" | "thrown", text].
const util = require('node:util');
const path = require('node:path');
const { createInterface } = require('node:readline');
const bson = require(require.resolve('bson', { paths: [process.cwd()] }));

const kinds = {
  undefined: () => undefined,
  number: (text) => Number(text),
  date: (ms) => new Date(ms),
  id: (hex) => new bson.ObjectId(hex),
  decimal: (text) => bson.Decimal128.fromString(text),
  long: (text) => through(bson.Long.fromString(text)),
  timestamp: (t, i) => new bson.Timestamp({ t, i }),
  regex: (pattern, flags) => through(new bson.BSONRegExp(pattern, flags)),
  code: (code, scope) => new bson.Code(code, scope === null ? undefined : revive(scope)),
  reference: (name, id, db, fields) => new bson.DBRef(name, revive(id), db ?? undefined, revive(fields)),
  MinKey: () => new bson.MinKey(),
  MaxKey: () => new bson.MaxKey(),
  binary: (hex, subtype) => through(new bson.Binary(Buffer.from(hex, 'hex'), subtype)),
};

// As the driver would read it from the database.
function through(value) {
  return bson.deserialize(bson.serialize({ value })).value;
}

function revive(spelt) {
  if (spelt === null || typeof spelt !== 'object') return spelt;
  if (Array.isArray(spelt)) return spelt.map(revive);
  if (spelt.is) return kinds[spelt.is[0]](...spelt.is.slice(1));
  const object = {};
  for (const [key, value] of spelt.object) {
    Object.defineProperty(object, key, { value: revive(value), enumerable: true, writable: true, configurable: true });
  }
  return object;
}

// A value spelled so that nothing is lost: negative zero, infinities, the order of keys.
function describe(value) {
  if (Array.isArray(value)) return '[' + value.map(describe).join() + ']';
  if (value && typeof value === 'object') {
    return '{' + Object.entries(value).map(([k, v]) => JSON.stringify(k) + ':' + describe(v)).join() + '}';
  }
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  return JSON.stringify(value);
}

const questions = {
  parse: (text) => describe(JSON.parse(text)),
  stringify: (value) => String(JSON.stringify(value)),
  inspect: (value) => util.inspect(value),
  string: (value) => String(value),
  number: (value) => describe(Number(value)),
  date: (text) => String(new Date(text).getTime()),
  typeof: (value) => typeof value,
  valueType: (value) => {
    const CastError = require(path.join(process.cwd(), 'node_modules/mongoose/lib/error/cast.js'));
    return new CastError('x', value, 'p').valueType;
  },
};

createInterface({ input: process.stdin, terminal: false }).on('line', (line) => {
  const [question, ...values] = JSON.parse(line);
  let answer;
  try {
    answer = ['answer', questions[question](...values.map(revive))];
  } catch (error) {
    answer = ['thrown', `${error.name}: ${error.message}`];
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
});
