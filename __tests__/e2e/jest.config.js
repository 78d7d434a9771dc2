const { join } = require("node:path");
const { projects, maxWorkers } = require("../../jest.config.js");

const common = { ...projects[0], rootDir: join(__dirname, "../..") };

/** @type {import("jest").Config} */
module.exports = {
  projects: [
    // Deploys, changes and interruptions, in an emulated cloud for each file.
    { ...common, displayName: "e2e", testMatch: ["<rootDir>/__tests__/e2e/*.test.ts"] },
    // The same with Kubernetes on the machines.
    { ...common, displayName: "cluster", testMatch: ["<rootDir>/__tests__/cluster/*.test.ts"] },
  ],
  maxWorkers,
  // Some steps wait for a load balancer, and the speed of a machine varies.
  testTimeout: 600_000,
  verbose: true,
};
