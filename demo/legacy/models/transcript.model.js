const mongoose = require("mongoose");

const { Mixed, ObjectId } = mongoose.Schema.Types;

const transcriptSchema = new mongoose.Schema({
  clinician: { type: ObjectId, ref: "users", required: true },
  consultation: { type: ObjectId, ref: "consultations", required: true },
  transcript_text: { type: String },
  summary: { type: Mixed },
  prompt_used: { type: ObjectId, ref: "prompts" },
  created_at: { type: Date, default: Date.now },
  updated_at: { type: Date },
});

module.exports = mongoose.model("transcripts", transcriptSchema);
