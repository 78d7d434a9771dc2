import { readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../cloud/ssh-hosts";
import { CloudProgram } from "../../testing/cloud-program";
import { story } from "../../testing/story";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const SETTINGS = { controlPlane: { count: 1 }, workers: { count: 1 } };

const cloud = new CloudProgram(SETTINGS);

afterAll(async () => {
  await cloud.run("down");
  cloud.remove();
});

async function succeed(...args: string[]): Promise<string> {
  const { status, output } = await cloud.run(...args);
  if (status !== 0) throw new Error(`${args.join(" ")}: status ${status}\n${output}`);
  return output;
}

story({
  "Ctrl-C during npm run cloud -- deploy lets Terraform save its state": async () => {
    await succeed("up");
    const deploy = cloud.start(["deploy", "--auto-approve"], { terminal: true });
    const copies = () => deploy.output().includes("Provisioning with 'file'");
    await until(copies, { what: deploy.output, process: deploy.process, seconds: 120 });
    deploy.process.stdin?.write("\x03");
    expect((await deploy.ended).status).not.toBe(0);

    const state = JSON.parse(readFileSync(join(cloud.folder, `terraform.${TUTORIAL_NAME}.tfstate`), "utf8"));
    const instances: { status?: string }[] = state.resources.flatMap((each: { instances: object[] }) => each.instances);
    expect(instances.filter(({ status }) => status === "tainted").length).toBeGreaterThan(0);
    expect(cloud.files.filter((name) => name.endsWith(".lock.info"))).toEqual([]);
  },

  "the next deploy completes the cluster": async () => {
    await succeed("deploy", "--auto-approve");
    expect(await succeed("status")).toMatch(/-master-0 +running +172\.31\.0\.10 +54\..*\n.*-worker-0 +running/);
  },

  "npm run cloud -- ssh logs in to a running machine with the generated key": async () => {
    expect(await succeed("ssh", "worker-0", "id -un && ls")).toBe(
      `ubuntu\nca.pem\n${TUTORIAL_NAME}-worker-0-key.pem\n${TUTORIAL_NAME}-worker-0.pem\n`,
    );
    expect(await cloud.run("ssh", "worker-7")).toEqual({
      status: 1,
      output: "cloud: the machine must be a running one (master-0, worker-0), got: 'worker-7'\n",
    });
  },

  "npm run cloud -- credentials writes the files, and the check finds no problem on the machines": async () => {
    const folder = join(cloud.folder, "credentials");
    expect(await succeed("credentials")).toBe(`${folder}: 25 files written, 0 unchanged\n`);
    expect(await succeed("credentials", "check", "--nodes")).toContain(`${folder}: no problems found\n`);
  },

  "terraform and aws run in the cloud": async () => {
    expect(await succeed("exec", "terraform", "plan", "-detailed-exitcode", "-no-color")).toContain("No changes.");
    expect(await succeed("diff")).toContain("No changes.");
    const names = ["ec2", "describe-key-pairs", "--region", "eu-central-1", "--query", "KeyPairs[].KeyName"];
    expect(JSON.parse(await succeed("exec", "aws", ...names))).toEqual([TUTORIAL_NAME]);
  },

  "a state in S3 is refused": async () => {
    cloud.configure({ ...SETTINGS, backend: { type: "s3", bucket: "our-states" } });
    const { status, output } = await cloud.run("deploy", "--auto-approve");
    expect(status).toBe(1);
    expect(output).toContain("\ncloud: 'backend' must be local, with a path in the project's folder, ");
    cloud.configure(SETTINGS);
  },

  "npm run cloud -- destroy destroys the cluster": async () => {
    await succeed("destroy", "--auto-approve");
    expect(await succeed("status")).toContain("No machines");
    await succeed("down");
    expect(cloud.files).toEqual([]);
  },
});
