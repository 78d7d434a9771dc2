/**
 * `npm run e2e`: deploys, changes and destroys clusters in an emulated cloud, with real Terraform, real providers and
 * real ssh hosts. Arguments are jest's. Exit status: 0 passed, 1 failed, 2 something is missing on this machine,
 * 3 not run because Terraform cannot install the providers here.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { installEmulator } from "../cloud/emulator";
import { installProviders, NoProvidersError } from "../cloud/providers";
import { missing } from "../cloud/requirements";
import { synthesizeCluster } from "../testing/synthesize";

const STATUS = { missing: 2, noProviders: 3 };

async function main(): Promise<number> {
  const lacks = missing(["Terraform 1.11", "openssl", "sshd", "root with network namespaces", "Python 3 with venv"]);
  for (const { requirement, get } of lacks) console.error(`e2e: ${requirement} is missing: ${get}`);
  if (lacks.length > 0) return STATUS.missing;
  installEmulator();
  try {
    await installProviders(synthesizeCluster());
  } catch (error) {
    if (!(error instanceof NoProvidersError)) throw error;
    console.error(`e2e: ${error.message}`);
    console.log("e2e: NOT RUN (no providers)");
    return STATUS.noProviders;
  }
  const arguments_ = ["--config", join(__dirname, "../__tests__/e2e/jest.config.js"), ...process.argv.slice(2)];
  return spawnSync("npx", ["jest", ...arguments_], { stdio: "inherit" }).status ?? 1;
}

main().then((status) => {
  process.exitCode = status;
});
