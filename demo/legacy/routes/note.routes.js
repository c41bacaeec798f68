const express = require("express");

const authenticate = require("../middleware/authenticate");
const NoteModel = require("../models/note.model");
const ConsultationModel = require("../models/consultation.model");

const noteRouter = express.Router();

function fail(res, err) {
  res.status(500).json({ msg: "Server error", error: err.message });
}

noteRouter.post("/:consultationId", async (req, res) => {
  try {
    const { consultationId } = req.params;
    const { body, transcriptId } = req.body;
    if (!body) {
      return res.status(400).json({ msg: "Note body is required." });
    }

    const consultation = await ConsultationModel.findById(consultationId);
    if (!consultation) {
      return res.status(404).json({ msg: "Consultation not found." });
    }

    const note = new NoteModel({
      clinician: req.user.userID,
      transcript: transcriptId,
      consultation: consultationId,
      body,
    });
    await note.save();

    if (!Array.isArray(consultation.notes)) consultation.notes = [];
    consultation.notes.push(note._id);
    await consultation.save();

    res.status(201).json({ msg: "Note added successfully.", note });
  } catch (err) {
    fail(res, err);
  }
});

noteRouter.get("/:consultationId", authenticate, async (req, res) => {
  try {
    const notes = await NoteModel.find({ consultation: req.params.consultationId })
      .populate("clinician", "username email")
      .sort({ created_at: -1 });
    res.json({ count: notes.length, notes });
  } catch (err) {
    fail(res, err);
  }
});

noteRouter.patch("/:noteId", authenticate, async (req, res) => {
  try {
    const note = await NoteModel.findById(req.params.noteId);
    if (!note) {
      return res.status(404).json({ msg: "Note not found." });
    }
    if (note.clinician.toString() !== req.user.userID) {
      return res.status(403).json({ msg: "Not authorized." });
    }

    note.body = req.body.body || note.body;
    note.updated_at = new Date();
    await note.save();

    res.json({ msg: "Note updated.", note });
  } catch (err) {
    fail(res, err);
  }
});

noteRouter.delete("/:noteId", authenticate, async (req, res) => {
  try {
    const note = await NoteModel.findById(req.params.noteId);
    if (!note) {
      return res.status(404).json({ msg: "Note not found." });
    }
    if (note.clinician.toString() !== req.user.userID) {
      return res.status(403).json({ msg: "Not authorized." });
    }
    await note.deleteOne();
    res.json({ msg: "Note deleted successfully." });
  } catch (err) {
    fail(res, err);
  }
});

module.exports = noteRouter;
