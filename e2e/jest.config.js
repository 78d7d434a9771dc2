const common = require("../jest.config.js");

/** @type {import("jest").Config} */
module.exports = {
  ...common,
  rootDir: "..",
  testMatch: ["<rootDir>/e2e/*.test.ts"],
  // One step waits for a load balancer, and a machine is slower at some times than at others.
  testTimeout: 300_000,
  globalSetup: undefined,
  verbose: true,
};
