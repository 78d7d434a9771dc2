const { join } = require("node:path");
const { testTimeout } = require("../e2e/jest.config.js");
const { projects } = require("../../jest.config.js");

/** @type {import("jest").Config} */
module.exports = {
  ...projects[0],
  rootDir: join(__dirname, "../.."),
  testMatch: ["<rootDir>/__tests__/control-plane/*.test.ts"],
  displayName: "control-plane",
  testTimeout,
  verbose: true,
};
