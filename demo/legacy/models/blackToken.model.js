const mongoose = require("mongoose");

const blackTokenSchema = new mongoose.Schema(
  { blackToken: { type: String, required: true } },
  { versionKey: false }
);

module.exports = mongoose.model("blacktokens", blackTokenSchema);
