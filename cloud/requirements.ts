import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { isEmulatorInstalled } from "./emulator";

/** The linter of GitHub's workflows, run from its source at one version. */
export const ACTIONLINT = ["go", "run", "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"] as const;

/** What a program or test may need of the machine: how to find out whether it is there, and how to get it. */
const REQUIREMENTS = {
  "Terraform 1.11": { isThere: hasTerraform, get: "install Terraform 1.11 or later" },
  openssl: { isThere: () => succeeds("openssl", "version"), get: "install openssl" },
  sshd: {
    isThere: () => existsSync("/usr/sbin/sshd") && ["ssh", "ssh-keygen", "setpriv", "nsenter", "perl"].every(isCommand),
    get: "install openssh-server, openssh-client, iproute2 and util-linux",
  },
  sudo: { isThere: () => isCommand("sudo"), get: "install sudo" },
  jq: { isThere: () => isCommand("jq"), get: "install jq" },
  "root with network namespaces": {
    isThere: () => succeeds("unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"),
    get: 'run it as root on Linux: sudo env "PATH=$PATH" npm run ...',
  },
  "Python 3 with venv": {
    isThere: () => succeeds("python3", "-c", "import venv, ensurepip"),
    get: "install python3-venv",
  },
  Go: { isThere: () => succeeds("go", "version"), get: "install Go 1.24 or later" },
  etcd: { isThere: () => ["etcd", "etcdctl"].every(isCommand), get: "install etcd-server and etcd-client" },
  curl: { isThere: () => isCommand("curl"), get: "install curl" },
  "Go that can fetch actionlint": {
    isThere: () => succeeds(...ACTIONLINT, "-version"),
    get: "install Go 1.24 or later",
  },
  moto: { isThere: isEmulatorInstalled, get: "npm run cloud -- up installs it" },
};

/** A thing that a program or test may need of the machine. */
export type Requirement = keyof typeof REQUIREMENTS;

/** The suites that a plain machine cannot run, and what each needs. */
const SUITES = {
  "real Terraform": ["Terraform 1.11"],
  "OpenSSL's view of the certificates": ["openssl"],
  "real ssh": ["Terraform 1.11", "openssl", "sshd", "root with network namespaces"],
  "files on machines": ["sshd", "sudo", "jq", "root with network namespaces"],
  "a full disk, and folders of others": ["root with network namespaces"],
  actionlint: ["Go that can fetch actionlint"],
  "the emulated cloud": ["sshd", "root with network namespaces", "moto"],
} as const satisfies Record<string, readonly Requirement[]>;

/** Of what is needed, what this machine lacks, each with how to get it. */
export function missing(needed: readonly Requirement[]): { readonly requirement: Requirement; readonly get: string }[] {
  return needed
    .filter((requirement) => !REQUIREMENTS[requirement].isThere())
    .map((requirement) => ({ requirement, get: REQUIREMENTS[requirement].get }));
}

/** Of what a suite needs, what this machine lacks. */
export function missingFor(suite: keyof typeof SUITES): Requirement[] {
  return missing(SUITES[suite]).map(({ requirement }) => requirement);
}

/** Describes a suite where the machine has what it needs, and skips it elsewhere. */
export function describeSuite(suite: keyof typeof SUITES, tests: () => void): void {
  (missingFor(suite).length === 0 ? describe : describe.skip)(suite, tests);
}

/** One line that says what is left out and why; nothing where nothing is. */
export function leftOut(): string | undefined {
  const lacking = (Object.keys(SUITES) as (keyof typeof SUITES)[])
    .map((suite) => ({ suite, lacks: missingFor(suite) }))
    .filter(({ lacks }) => lacks.length > 0)
    .map(({ suite, lacks }) => `${suite} (no ${lacks.join(", no ")})`);
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
