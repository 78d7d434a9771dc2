import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/** What a test may need of the machine, each with how to find out whether it is there. */
const PRESENT = {
  "Terraform 1.11": hasTerraform,
  openssl: () => succeeds("openssl", "version"),
  sshd: () => existsSync("/usr/sbin/sshd") && ["ssh-keygen", "setpriv", "nsenter", "perl"].every(isCommand),
  "root with network namespaces": () => succeeds("unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"),
};

type Requirement = keyof typeof PRESENT;

/** The suites that a plain machine cannot run, and what each needs. */
const SUITES = {
  "real Terraform": ["Terraform 1.11"],
  "OpenSSL's view of the certificates": ["openssl"],
  "real ssh": ["Terraform 1.11", "openssl", "sshd", "root with network namespaces"],
} as const satisfies Record<string, readonly Requirement[]>;

/** Of what a suite needs, what this machine lacks. */
export function missingFor(suite: keyof typeof SUITES): Requirement[] {
  return SUITES[suite].filter((requirement) => !PRESENT[requirement]());
}

/** Describes a suite where the machine has what it needs, and skips it elsewhere. */
export function describeSuite(suite: keyof typeof SUITES, tests: () => void): void {
  (missingFor(suite).length === 0 ? describe : describe.skip)(suite, tests);
}

/** One line that says what is left out and why; nothing where nothing is. */
export function leftOut(): string | undefined {
  const lacking = (Object.keys(SUITES) as (keyof typeof SUITES)[])
    .map((suite) => ({ suite, missing: missingFor(suite) }))
    .filter(({ missing }) => missing.length > 0)
    .map(({ suite, missing }) => `${suite} (no ${missing.join(", no ")})`);
  return lacking.length === 0 ? undefined : `Left out on this machine: ${lacking.join("; ")}`;
}

function isCommand(name: string): boolean {
  return succeeds("sh", "-c", `command -v ${name}`);
}

function succeeds(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

function hasTerraform(): boolean {
  const { stdout } = spawnSync("terraform", ["version", "-json"], { encoding: "utf8" });
  const [, major, minor] = /"terraform_version": "(\d+)\.(\d+)/.exec(stdout ?? "") ?? [];
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 11);
}
