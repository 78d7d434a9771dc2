const { projects, maxWorkers } = require("../../jest.config.js");

/** @type {import("jest").Config} */
module.exports = {
  ...projects[0],
  displayName: undefined,
  maxWorkers,
  rootDir: "../..",
  testMatch: ["<rootDir>/__tests__/e2e/*.test.ts"],
  // Some steps wait for a load balancer, and the speed of a machine varies.
  testTimeout: 600_000,
  verbose: true,
};
