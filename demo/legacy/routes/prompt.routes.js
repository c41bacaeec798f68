const express = require("express");

const authenticate = require("../middleware/authenticate");
const PromptModel = require("../models/prompt.model");
const TranscriptModel = require("../models/transcript.model");

const promptRouter = express.Router();

const NOT_FOUND = { msg: "Prompt not found or not accessible" };

function fail(res, err) {
  console.error(err.message);
  res.status(500).json({ error: "Internal Server Error" });
}

promptRouter.post("/", authenticate, async (req, res) => {
  try {
    const { prompt_name, prompt_text, is_shareable } = req.body;
    const prompt = new PromptModel({
      prompt_name,
      prompt_text,
      is_shareable,
      clinician: req.user.userID,
    });
    await prompt.save();
    res.status(201).json({ msg: "Prompt created successfully", data: prompt });
  } catch (err) {
    fail(res, err);
  }
});

promptRouter.get("/", authenticate, async (req, res) => {
  try {
    const prompts = await PromptModel.find({
      $or: [{ clinician: req.user.userID }, { is_shareable: true }],
      is_deleted: false,
    }).sort({ created_at: -1 });
    res.json({ prompts });
  } catch (err) {
    fail(res, err);
  }
});

promptRouter.patch("/:promptId", authenticate, async (req, res) => {
  try {
    const prompt = await PromptModel.findOneAndUpdate(
      { _id: req.params.promptId, clinician: req.user.userID, is_deleted: false },
      { ...req.body, updated_at: new Date() },
      { new: true }
    );
    if (!prompt) {
      return res.status(404).json(NOT_FOUND);
    }
    res.json({ msg: "Prompt updated", data: prompt });
  } catch (err) {
    fail(res, err);
  }
});

promptRouter.patch("/:promptId/add-prompt/:transcriptId", authenticate, async (req, res) => {
  try {
    const { promptId, transcriptId } = req.params;
    const prompt = await PromptModel.findOne({ _id: promptId, clinician: req.user.userID });
    if (!prompt) {
      return res.status(404).json(NOT_FOUND);
    }
    const transcript = await TranscriptModel.findByIdAndUpdate(
      transcriptId,
      { prompt_used: prompt._id, updated_at: new Date() },
      { new: true }
    );
    if (!transcript) {
      return res.status(404).json({ msg: "Transcript not found" });
    }
    res.json({ msg: "Prompt linked to transcript successfully", data: transcript });
  } catch (err) {
    fail(res, err);
  }
});

promptRouter.delete("/:promptId", authenticate, async (req, res) => {
  try {
    const prompt = await PromptModel.findOneAndUpdate(
      { _id: req.params.promptId, clinician: req.user.userID },
      { is_deleted: true, updated_at: new Date() },
      { new: true }
    );
    if (!prompt) {
      return res.status(404).json(NOT_FOUND);
    }
    res.json({ msg: "Prompt deleted successfully" });
  } catch (err) {
    fail(res, err);
  }
});

module.exports = promptRouter;
