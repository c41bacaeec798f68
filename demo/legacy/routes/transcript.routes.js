const express = require("express");

const TranscriptModel = require("../models/transcript.model");

const transcriptRouter = express.Router();

transcriptRouter.post("/update-text", async (req, res) => {
  try {
    const { transcript_id, transcript_text } = req.body;
    if (!transcript_id || !transcript_text) {
      return res.status(400).json({ msg: "Missing data" });
    }
    const transcript = await TranscriptModel.findOneAndUpdate(
      { _id: transcript_id, clinician: req.user.userID },
      { transcript_text, updated_at: new Date() },
      { new: true }
    );
    res.json({ msg: "Transcript updated", data: transcript });
  } catch (err) {
    res.status(500).json({ msg: "Internal server error" });
  }
});

transcriptRouter.get("/:consultation_id", async (req, res) => {
  try {
    const transcript = await TranscriptModel.findOne({
      consultation: req.params.consultation_id,
      clinician: req.user.userID,
    });
    res.json(transcript);
  } catch (err) {
    res.status(500).json({ msg: "Error fetching transcripts" });
  }
});

module.exports = transcriptRouter;
