/** `npm run control-plane`: tests the generated credentials on a real control plane. Arguments are jest's. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { buildControlPlane } from "../cloud/kubernetes/build";
import { missing } from "../cloud/requirements";
import { runProgram } from "./program";

const CANNOT = 2;

const USAGE = `npm run control-plane [-- arguments of jest]    tests certificates, kubeconfigs and encryption config on a real etcd,
                                               API server, controller manager and scheduler; broken ones are refused

exit status   0: passed   1: failed   2: this machine lacks something, or Kubernetes cannot be built`;

function main(args: string[]): number {
  const lacks = missing(["Go", "etcd", "curl", "openssl", "sshd", "root with network namespaces"]);
  for (const { requirement, get } of lacks) console.error(`control-plane: ${requirement} is missing: ${get}`);
  if (lacks.length > 0) return CANNOT;
  try {
    buildControlPlane((line) => console.error(`control-plane: ${line}`));
  } catch (error) {
    console.error(`control-plane: ${(error as Error).message}`);
    return CANNOT;
  }
  const config = join(__dirname, "../__tests__/control-plane/jest.config.js");
  return spawnSync("npx", ["jest", "--config", config, ...args], { stdio: "inherit" }).status ?? 1;
}

runProgram({ name: "control-plane", usage: USAGE, main });
