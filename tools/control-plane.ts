/**
 * `npm run control-plane`: a real etcd, API server, controller manager and scheduler take the certificates, kubeconfigs and
 * encryption config that this project makes, and refuse broken ones. Arguments are jest's. Exit status: 0 passed, 1 failed,
 * 2 something is missing on this machine, or Kubernetes cannot be built.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { buildControlPlane } from "../cloud/kubernetes/build";
import { missing } from "../cloud/requirements";

const CANNOT = 2;

function main(): number {
  const lacks = missing(["Go", "etcd", "curl", "openssl", "sshd", "root with network namespaces"]);
  for (const { requirement, get } of lacks) console.error(`control-plane: ${requirement} is missing: ${get}`);
  if (lacks.length > 0) return CANNOT;
  try {
    buildControlPlane((line) => console.error(`control-plane: ${line}`));
  } catch (error) {
    console.error(`control-plane: ${(error as Error).message}`);
    return CANNOT;
  }
  const arguments_ = [
    "--config",
    join(__dirname, "../__tests__/control-plane/jest.config.js"),
    ...process.argv.slice(2),
  ];
  return spawnSync("npx", ["jest", ...arguments_], { stdio: "inherit" }).status ?? 1;
}

process.exitCode = main();
