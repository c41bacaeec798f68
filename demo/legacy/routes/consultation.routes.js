const express = require("express");

const authenticate = require("../middleware/authenticate");
const ConsultationModel = require("../models/consultation.model");
const TranscriptModel = require("../models/transcript.model");
const PromptModel = require("../models/prompt.model");
const { SUMMARY } = require("../config/instructions");
const { summarise, findHighlights } = require("../services/summary.service");

const consultationRouter = express.Router();

const CLINICIAN = { path: "clinician", select: "username email" };
const NOTES = { path: "notes", select: "body clinician", populate: CLINICIAN };

consultationRouter.post("/start", async (req, res) => {
  try {
    const { patient_data } = req.body;

    const consultation = new ConsultationModel({
      clinician: req.user.userID,
      patient: patient_data,
    });
    await consultation.save();

    const transcript = new TranscriptModel({
      clinician: req.user.userID,
      consultation: consultation._id,
      transcript_text: "",
    });
    await transcript.save();

    consultation.transcript = transcript._id;
    await consultation.save();

    res.json({ msg: "Consultation started", data: { consultation, transcript } });
  } catch (err) {
    console.error(err);
    res.status(500).json({ msg: "Error starting consultation" });
  }
});

consultationRouter.post("/:id/end", async (req, res) => {
  try {
    const { id } = req.params;
    const { prompt_used } = req.body;

    const consultation = await ConsultationModel.findById(id).populate("transcript");
    if (!consultation) {
      return res.status(404).json({ msg: "Consultation not found" });
    }
    const transcript = await TranscriptModel.findById(consultation.transcript?._id);
    if (!transcript) {
      return res.status(404).json({ msg: "Transcript not found" });
    }
    const prompt = await PromptModel.findById(prompt_used);
    if (!prompt) {
      return res.status(404).json({ msg: "Prompt not found" });
    }

    const text = transcript.transcript_text || "";
    let summary;
    let highlights = [];
    try {
      summary = await summarise(prompt.prompt_text || SUMMARY, text);
      highlights = await findHighlights(summary, text);
    } catch (err) {
      console.error("AI failed:", err.message);
    }

    // An update, without validation; a stored summary stays if the model gave none.
    const updated = await TranscriptModel.findByIdAndUpdate(
      transcript._id,
      { ...(summary && { summary }), updated_at: new Date() },
      { new: true }
    );

    consultation.status = "ended";
    consultation.ended_at = new Date();
    await consultation.save();

    res.json({
      msg: "Consultation ended successfully",
      transcript: updated,
      summary: summary || "Summary not generated",
      highlights,
    });
  } catch (err) {
    res.status(500).json({ msg: "Error ending consultation", error: err.message });
  }
});

consultationRouter.get("/", authenticate, async (req, res) => {
  try {
    const consultations = await ConsultationModel.find({ clinician: req.user.userID })
      .populate(CLINICIAN)
      .populate(NOTES)
      .populate("transcript")
      .sort({ started_at: -1 });
    res.json({ consultations });
  } catch (err) {
    res.status(500).json({ msg: "Error fetching consultations", error: err.message });
  }
});

consultationRouter.get("/:id", authenticate, async (req, res) => {
  try {
    const consultation = await ConsultationModel.findOne({
      _id: req.params.id,
      clinician: req.user.userID,
    })
      .populate(CLINICIAN)
      .populate(NOTES)
      .populate({
        path: "transcript",
        populate: { path: "prompt_used", select: "prompt_name prompt_text" },
      });
    if (!consultation) {
      return res.status(404).json({ msg: "Consultation not found or invalid" });
    }
    res.json({ consultation });
  } catch (err) {
    res.status(500).json({ msg: "Error fetching consultation", error: err.message });
  }
});

module.exports = consultationRouter;
