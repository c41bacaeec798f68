const express = require("express");

const { SEARCH } = require("../config/instructions");
const { complete } = require("../config/openai");
const { expand } = require("../services/terminology.service");

const searchRouter = express.Router();

searchRouter.post("/search", async (req, res) => {
  try {
    const { query } = req.query;
    if (!query) {
      return res.status(400).json({ error: "Query is required" });
    }
    const answer = await complete(SEARCH, query);
    res.json({ query, answer });
  } catch (err) {
    res.status(500).json({ error: "Something went wrong", msg: err.message });
  }
});

searchRouter.get("/search/clinicalcodes", async (req, res) => {
  try {
    const codes = await expand(req.query.name);
    // The first match is the answer. The second one throws, because an answer was sent, which ends the loop. Without a
    // match there is no answer.
    codes.forEach((item) => {
      res.json({ name: item.display, code: item.code, url: item.system });
    });
  } catch (err) {
    console.error(err.message);
  }
});

module.exports = searchRouter;
