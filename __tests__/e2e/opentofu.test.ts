import { describeSuite } from "../../cloud/requirements";
import { Rehearsal } from "../../testing/rehearsal";
import { story } from "../../testing/story";
import { expectTutorialFiles } from "../../testing/tutorial";

const { TERRAFORM_BINARY_NAME } = process.env;

describeSuite("OpenTofu", () => {
  let rehearsal: Rehearsal;

  beforeAll(async () => {
    process.env.TERRAFORM_BINARY_NAME = "tofu";
    rehearsal = await Rehearsal.begin();
  });

  afterAll(async () => {
    await rehearsal?.end();
    if (TERRAFORM_BINARY_NAME === undefined) delete process.env.TERRAFORM_BINARY_NAME;
    else process.env.TERRAFORM_BINARY_NAME = TERRAFORM_BINARY_NAME;
  });

  story({
    "npm run deploy with OpenTofu makes the cluster": async () => {
      const output = await rehearsal.npm("deploy", "-auto-approve", "-no-color");
      expect(output).toContain("OpenTofu will perform the following actions");
      expect(output).toContain("Resources: 73 added, 0 changed, 0 destroyed.");
      await rehearsal.cloud.machines.settled();
      expectTutorialFiles(rehearsal.machine("worker-2").host, "worker-2");
    },

    "the plans of OpenTofu and of Terraform are empty": async () => {
      expect(await rehearsal.npm("diff", "-detailed-exitcode", "-no-color")).toContain("OpenTofu has compared");
      await rehearsal.here("terraform", "init", "-no-color");
      expect(await rehearsal.here("terraform", "plan", "-detailed-exitcode", "-no-color")).toContain("No changes.");
    },

    "npm run destroy with OpenTofu leaves no resource": async () => {
      expect(await rehearsal.npm("destroy", "-auto-approve", "-no-color")).toContain("Resources: 73 destroyed.");
      const { instances, vpcs, loadBalancers } = await rehearsal.inventory();
      expect([instances, loadBalancers]).toEqual([[], []]);
      expect(vpcs.filter(({ IsDefault }) => !IsDefault)).toEqual([]);
    },
  });
});
