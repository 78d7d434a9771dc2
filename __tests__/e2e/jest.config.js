const { projects, maxWorkers } = require("../../jest.config.js");

/** @type {import("jest").Config} */
module.exports = {
  ...projects[0],
  displayName: undefined,
  maxWorkers,
  rootDir: "../..",
  testMatch: ["<rootDir>/__tests__/e2e/*.test.ts"],
  // One step waits for a load balancer, and a machine is slower at some times than at others.
  testTimeout: 300_000,
  verbose: true,
};
