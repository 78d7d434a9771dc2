import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { start, until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import { TerraformFolder } from "../../testing/terraform";

const STATE = "terraform.tfstate";
const IGNORING_HANGUP = join(__dirname, "../../tools/terraform.sh");

describeSuite("real Terraform", () => {
  /** Interrupts an apply during its work, and sends it a hangup. This happens when cdktf ends on Ctrl-C. */
  async function hangUp(program: string) {
    const terraform = new TerraformFolder();
    try {
      const provisioner = [{ "local-exec": { command: "echo under way; sleep 30" } }];
      terraform.configure({ resource: { terraform_data: { a: { provisioner } } } });
      await terraform.run("init", "-no-color");
      const env = { ...process.env, TF_CLI_CONFIG_FILE: "/dev/null", CHECKPOINT_DISABLE: "1" };
      const apply = start([program, "apply", "-auto-approve", "-no-color"], { cwd: terraform.path, env });
      await until(() => apply.output().includes("): under way"), { what: apply.output, process: apply.process });
      apply.process.kill("SIGINT");
      apply.process.kill("SIGHUP");
      const { status } = await apply.ended;
      const files = readdirSync(terraform.path);
      const state = files.includes(STATE) ? readFileSync(join(terraform.path, STATE), "utf8") : "";
      return { status, state, isLocked: files.some((name) => name.endsWith(".lock.info")) };
    } finally {
      terraform.remove();
    }
  }

  test("Terraform under npm run deploy saves its state after an interrupt and a hangup", async () => {
    const { state, ...end } = await hangUp(IGNORING_HANGUP);
    expect(end).toEqual({ status: 1, isLocked: false });
    expect(JSON.parse(state).resources[0].instances).toMatchObject([{ status: "tainted" }]);
  });

  test("Terraform without tools/terraform.sh is killed by the hangup, and leaves its lock", async () => {
    expect(await hangUp("terraform")).toMatchObject({ status: null, isLocked: true });
  });
});
