const mongoose = require("mongoose");

const { ObjectId } = mongoose.Schema.Types;

const promptSchema = new mongoose.Schema({
  prompt_name: { type: String, required: true, trim: true },
  prompt_text: { type: String, required: true, trim: true },
  is_shareable: { type: Boolean, default: false },
  is_deleted: { type: Boolean, default: false },
  clinician: { type: ObjectId, ref: "users", required: true },
  transcript_ids: [{ type: ObjectId, ref: "transcripts" }],
  created_at: { type: Date, default: Date.now },
  updated_at: { type: Date },
});

module.exports = mongoose.model("prompts", promptSchema);
