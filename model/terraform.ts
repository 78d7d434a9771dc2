/** The sentence that names the programs with which the project runs, for a machine that has none of them. */
export const INSTALL_TERRAFORM =
  "install Terraform 1.11 or later, or OpenTofu 1.12 or later and set TERRAFORM_BINARY_NAME=tofu";

/**
 * The name or the path of the program that applies the synthesized JSON: the value of TERRAFORM_BINARY_NAME, which cdktf's CLI
 * reads too. Every program of this project that starts Terraform starts this one.
 * @default - terraform
 */
export function terraformProgram(): string {
  return process.env.TERRAFORM_BINARY_NAME || "terraform";
}

/** The environment of {@link terraformProgram}: that of this process, without a request for news of later versions. */
export function terraformEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, CHECKPOINT_DISABLE: "1" };
}

/** The message for a machine without {@link terraformProgram}. */
export function terraformIsMissing(): string {
  return `${terraformProgram()} is missing: ${INSTALL_TERRAFORM}`;
}

/** The hosts under which Terraform and OpenTofu look up the same providers. */
export const PROVIDER_HOSTS = ["registry.terraform.io", "registry.opentofu.org"] as const;
