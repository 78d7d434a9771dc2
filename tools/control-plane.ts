/** `npm run control-plane`: tests the generated credentials on a real control plane. Arguments are jest's. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { missingReleaseFiles } from "../cloud/mirror/release-files";
import { missing } from "../cloud/requirements";
import { releases } from "../kubernetes/releases";
import { TESTED } from "../model/versions";
import { runProgram } from "./program";

const MISSING = 2;

const USAGE = `npm run control-plane [-- arguments of jest]    tests certificates, kubeconfigs and encryption config on a real etcd,
                                               API server, controller manager and scheduler; broken ones are refused

exit status   0: passed   1: failed   2: this machine lacks something`;

function main(args: string[]): number {
  const lacks = missing(["x86_64 processor", "curl", "openssl", "sshd", "root with network namespaces"]);
  const files = missingReleaseFiles(releases("master", TESTED).map(({ path }) => path));
  for (const { requirement, get } of lacks) console.error(`control-plane: ${requirement} is missing: ${get}`);
  if (files !== undefined) console.error(`control-plane: ${files}`);
  if (lacks.length > 0 || files !== undefined) return MISSING;
  const config = join(__dirname, "../__tests__/control-plane/jest.config.js");
  return spawnSync("npx", ["jest", "--config", config, ...args], { stdio: "inherit" }).status ?? 1;
}

runProgram({ name: "control-plane", usage: USAGE, main });
