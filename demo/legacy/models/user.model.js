const mongoose = require("mongoose");

const { ObjectId } = mongoose.Schema.Types;

const userSchema = new mongoose.Schema({
  username: { type: String, required: true, trim: true },
  email: { type: String, required: true, unique: true, lowercase: true },
  password: { type: String, required: true },
  role: { type: String, enum: ["patient", "clinician"], required: true },
  prompts: [{ type: ObjectId, ref: "prompts" }],
  notes: [{ type: ObjectId, ref: "notes" }],
  transcripts: [{ type: ObjectId, ref: "transcripts" }],
  createdAt: { type: Date, default: Date.now },
});

module.exports = mongoose.model("users", userSchema);
