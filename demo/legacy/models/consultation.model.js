const mongoose = require("mongoose");

const { Mixed, ObjectId } = mongoose.Schema.Types;

const consultationSchema = new mongoose.Schema({
  clinician: { type: ObjectId, ref: "users", required: true },
  patient: { type: Mixed },
  transcript: { type: ObjectId, ref: "transcripts" },
  notes: [{ type: ObjectId, ref: "notes" }],
  started_at: { type: Date, default: Date.now },
  ended_at: { type: Date },
  status: { type: String, enum: ["active", "ended"], default: "active" },
});

module.exports = mongoose.model("consultations", consultationSchema);
