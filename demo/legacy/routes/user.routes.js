const express = require("express");
const bcrypt = require("bcrypt");
const jwt = require("jsonwebtoken");

const authenticate = require("../middleware/authenticate");
const UserModel = require("../models/user.model");
const BlackTokenModel = require("../models/blackToken.model");

const SALT_ROUNDS = 8;

const userRouter = express.Router();

userRouter.post("/register", async (req, res) => {
  const { username, email, password, role } = req.body;
  try {
    const taken = await UserModel.findOne({ email });
    if (taken) {
      return res.status(401).send({ msg: "User already exists" });
    }
    bcrypt.hash(password, SALT_ROUNDS, async (err, hash) => {
      if (err) {
        return res.send({ err: "error hashing password" });
      }
      // The enclosing try does not cover this call: a refusal of save() ends the process.
      const user = new UserModel({ username, email, password: hash, role });
      await user.save();
      res.send({ msg: "User has been registered" });
    });
  } catch (err) {
    res.send(err);
  }
});

userRouter.post("/login", async (req, res) => {
  const { email, password } = req.body;
  try {
    const user = await UserModel.findOne({ email });
    if (!user) {
      return res.send({ msg: "user doesnt exist" });
    }
    bcrypt.compare(password, user.password, (err, same) => {
      if (err) {
        return res.send({ msg: "wrong credentials", err });
      }
      if (same) {
        const token = jwt.sign(
          { userID: user._id, author: user.username },
          process.env.JWT_SECRET_KEY,
          { expiresIn: "1h" }
        );
        res.send({ msg: "login successful", token });
      }
      // A wrong password is not an error, so there is no answer.
    });
  } catch (err) {
    res.send(err);
  }
});

userRouter.post("/logout", async (req, res) => {
  const token = req.headers.authorization?.split(" ")[1];
  try {
    if (token) {
      const blackToken = new BlackTokenModel({ blackToken: token });
      await blackToken.save();
      res.send({ msg: "user logged out successfully" });
    }
    // Without a token there is no answer.
  } catch (err) {
    res.send(err);
  }
});

userRouter.get("/users/checkEmail", async (req, res) => {
  try {
    const { email } = req.query;
    const user = await UserModel.findOne({ email });
    res.json({ available: !user });
  } catch (err) {
    res.status(500).json({ error: "Internal Server Error" });
  }
});

userRouter.get("/profile", authenticate, async (req, res) => {
  try {
    const user = await UserModel.findById(req.user.userID).select("-password");
    if (!user) {
      return res.status(404).json({ message: "User not found" });
    }
    res.json({
      success: true,
      data: {
        name: user.username,
        email: user.email,
        role: user.role,
        createdAt: user.createdAt,
      },
    });
  } catch (err) {
    res.status(500).json({ error: "Failed to fetch profile" });
  }
});

module.exports = userRouter;
