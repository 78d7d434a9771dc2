/** `npm run e2e`: deploys, changes and destroys clusters in the emulated cloud, as tests. Arguments are jest's. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { installEmulator } from "../cloud/emulator";
import { installRoot } from "../cloud/machine/root";
import { missingReleaseFiles } from "../cloud/mirror/release-files";
import { installProviders, NoProvidersError } from "../cloud/providers";
import { MACHINES, missing } from "../cloud/requirements";
import type { TerraformJson } from "../cloud/terraform-json";
import { releasePaths } from "../kubernetes/releases";
import { TESTED } from "../model/versions";
import { synthesizeStack } from "../review/base";
import { runProgram } from "./program";

const STATUS = { missing: 2, noProviders: 3 };

/** The release files of the clusters with Kubernetes. */
const RELEASE_FILES = releasePaths(TESTED);

const USAGE = `npm run e2e [-- arguments of jest]    deploys, changes and destroys clusters in the emulated cloud, with real
                                      Terraform, real providers and machines that boot

exit status   0: passed   1: failed   2: this machine lacks something   3: Terraform cannot install the providers`;

async function main(args: string[]): Promise<number> {
  const lacks = missing([...MACHINES, "Terraform 1.11", "openssl", "Python 3 with venv"]);
  for (const { requirement, get } of lacks) console.error(`e2e: ${requirement} is missing: ${get}`);
  if (lacks.length > 0) return STATUS.missing;
  installEmulator();
  await installRoot(console.error);
  try {
    const json = await synthesizeStack(join(__dirname, ".."), "the working tree");
    await installProviders(json as unknown as TerraformJson);
  } catch (error) {
    if (!(error instanceof NoProvidersError)) throw error;
    console.error(`e2e: ${error.message}`);
    console.log("e2e: NOT RUN (no providers)");
    return STATUS.noProviders;
  }
  const config = join(__dirname, "../__tests__/e2e/jest.config.js");
  const leaves = missingReleaseFiles(RELEASE_FILES);
  if (leaves !== undefined) console.error(`e2e: leaves out the clusters with Kubernetes: ${leaves}`);
  const left = leaves === undefined ? [] : ["--ignoreProjects", "cluster"];
  for (const { requirement, get } of missing(["Kubernetes' conformance tests"])) {
    console.error(`e2e: leaves out ${requirement}: ${get}`);
  }
  return spawnSync("npx", ["jest", "--config", config, ...args, ...left], { stdio: "inherit" }).status ?? 1;
}

runProgram({ name: "e2e", usage: USAGE, main });
