import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { isEmulatorInstalled } from "./emulator";
import { CLI_CONFIG } from "./providers";

/** The command of the linter for GitHub's workflows. It runs from source, at a fixed version. */
export const ACTIONLINT = ["go", "run", "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"] as const;

/** The requirements that a program or test may have of the machine: a check of each, and the way to meet it. */
const REQUIREMENTS = {
  "Terraform 1.11": { isMet: hasTerraform, get: "install Terraform 1.11 or later" },
  openssl: { isMet: () => succeeds("openssl", "version"), get: "install openssl" },
  sshd: {
    isMet: () => existsSync("/usr/sbin/sshd") && ["ssh", "ssh-keygen", "setpriv", "nsenter", "perl"].every(isCommand),
    get: "install openssh-server, openssh-client, iproute2 and util-linux",
  },
  sudo: { isMet: () => isCommand("sudo"), get: "install sudo" },
  gh: { isMet: () => isCommand("gh"), get: "install gh, GitHub's command line" },
  jq: { isMet: () => isCommand("jq"), get: "install jq" },
  "root with network namespaces": {
    isMet: () => succeeds("unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"),
    get: 'run it as root on Linux: sudo env "PATH=$PATH" npm run ...',
  },
  "Python 3 with venv": {
    isMet: () => succeeds("python3", "-c", "import venv, ensurepip"),
    get: "install python3-venv",
  },
  Go: { isMet: () => succeeds("go", "version"), get: "install Go 1.24 or later" },
  etcd: { isMet: () => ["etcd", "etcdctl"].every(isCommand), get: "install etcd-server and etcd-client" },
  curl: { isMet: () => isCommand("curl"), get: "install curl" },
  "Go that can fetch actionlint": {
    isMet: () => succeeds(...ACTIONLINT, "-version"),
    get: "install Go 1.24 or later",
  },
  "installed providers": { isMet: () => existsSync(CLI_CONFIG), get: "npm run cloud -- deploy installs them" },
  moto: { isMet: isEmulatorInstalled, get: "npm run cloud -- up installs it" },
};

/** The name of a requirement that a program or test may have of the machine. */
export type Requirement = keyof typeof REQUIREMENTS;

/** The test suites that some machines cannot run, and the requirements of each. */
const SUITES = {
  "real Terraform": ["Terraform 1.11"],
  "OpenSSL's view of the certificates": ["openssl"],
  "real ssh": ["Terraform 1.11", "openssl", "sshd", "root with network namespaces"],
  "files on machines": ["sshd", "sudo", "jq", "root with network namespaces"],
  "a full disk, and folders of others": ["root with network namespaces"],
  actionlint: ["Go that can fetch actionlint"],
  "the workflows' scripts": ["gh"],
  "the workflows' scripts with Terraform": ["gh", "Terraform 1.11"],
  "the providers' schemas": ["Terraform 1.11", "installed providers"],
  "the emulated cloud": ["sshd", "root with network namespaces", "moto"],
} as const satisfies Record<string, readonly Requirement[]>;

/** The requirements that this machine does not meet, each with the way to meet it. */
export function missing(
  requirements: readonly Requirement[],
): { readonly requirement: Requirement; readonly get: string }[] {
  return requirements
    .filter((requirement) => !REQUIREMENTS[requirement].isMet())
    .map((requirement) => ({ requirement, get: REQUIREMENTS[requirement].get }));
}

/** The requirements of a suite that this machine does not meet. */
export function missingFor(suite: keyof typeof SUITES): Requirement[] {
  return missing(SUITES[suite]).map(({ requirement }) => requirement);
}

/** Defines a test suite. It is skipped on a machine that does not meet its requirements. */
export function describeSuite(suite: keyof typeof SUITES, tests: () => void): void {
  (missingFor(suite).length === 0 ? describe : describe.skip)(suite, tests);
}

/** One line with the skipped suites and their missing requirements; undefined if no suite is skipped. */
export function skippedSuites(): string | undefined {
  const skipped = (Object.keys(SUITES) as (keyof typeof SUITES)[])
    .map((suite) => ({ suite, lacks: missingFor(suite) }))
    .filter(({ lacks }) => lacks.length > 0)
    .map(({ suite, lacks }) => `${suite} (no ${lacks.join(", no ")})`);
  return skipped.length === 0 ? undefined : `Skipped on this machine: ${skipped.join("; ")}`;
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
