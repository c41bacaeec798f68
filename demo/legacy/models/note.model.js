const mongoose = require("mongoose");

const { ObjectId } = mongoose.Schema.Types;

const noteSchema = new mongoose.Schema(
  {
    clinician: { type: ObjectId, ref: "users", required: true },
    transcript: { type: ObjectId, ref: "transcripts", required: true },
    consultation: { type: ObjectId, ref: "consultations", required: true },
    body: { type: String, required: true, trim: true },
    created_at: { type: Date, default: Date.now },
    updated_at: { type: Date, default: Date.now },
  },
  { versionKey: false }
);

module.exports = mongoose.model("notes", noteSchema);
