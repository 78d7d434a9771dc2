import type { Problem } from "./formats";

/** Lifetimes of the certificates, in hours. */
export interface PkiLifetimes {
  /** Lifetime of the CA's certificate. */
  readonly caValidityHours: number;
  /** Lifetime of every other certificate, at most the CA's. */
  readonly validityHours: number;
  /** An apply replaces a certificate that expires in fewer hours than this. @default 0 (only expired certificates) */
  readonly earlyRenewalHours?: number;
  /**
   * An apply replaces the CA's certificate, and with it every other certificate, if it expires in fewer hours than this.
   * The CA's key stays.
   * @default - `validityHours` if `earlyRenewalHours` is not 0, so that no certificate outlives its CA; otherwise 0
   */
  readonly caEarlyRenewalHours?: number;
}

/** The allowed lifetimes of certificates, in hours: up to a hundred years. */
export const VALIDITY_HOURS = { min: 1, max: 876_000 };

/** The allowed hours of early renewal. */
export const RENEWAL_HOURS = { min: 0, max: 876_000 };

/** The lifetimes, with defaults for the missing values. */
export function resolveLifetimes(given: PkiLifetimes): Required<PkiLifetimes> {
  const { caValidityHours, validityHours, earlyRenewalHours = 0 } = given;
  const caEarlyRenewalHours = given.caEarlyRenewalHours ?? (earlyRenewalHours > 0 ? validityHours : 0);
  return { caValidityHours, validityHours, earlyRenewalHours, caEarlyRenewalHours };
}

/**
 * The problems of lifetimes. A certificate must not outlive its CA, and a certificate must not be due for renewal at the
 * moment when it is issued: every apply would renew it.
 * @param prefix - the start of the names in the problems: `pki.` for `pki.validityHours`
 */
export function lifetimeProblems(given: PkiLifetimes, prefix: string): Problem[] {
  const { caValidityHours, validityHours, earlyRenewalHours, caEarlyRenewalHours } = resolveLifetimes(given);
  const rules: readonly (Problem & { readonly broken: boolean })[] = [
    {
      broken: validityHours > caValidityHours,
      name: "validityHours",
      allowed: `at most '${prefix}caValidityHours', ${caValidityHours}`,
      got: validityHours,
    },
    {
      broken: earlyRenewalHours >= validityHours,
      name: "earlyRenewalHours",
      allowed: `less than '${prefix}validityHours', ${validityHours}`,
      got: earlyRenewalHours,
    },
    {
      broken: caEarlyRenewalHours >= caValidityHours,
      name: "caEarlyRenewalHours",
      allowed: `less than '${prefix}caValidityHours', ${caValidityHours}`,
      got: caEarlyRenewalHours,
    },
    {
      broken: (earlyRenewalHours > 0 || caEarlyRenewalHours > 0) && caEarlyRenewalHours < validityHours,
      name: "caEarlyRenewalHours",
      allowed: `at least '${prefix}validityHours', ${validityHours}, so that no certificate outlives its CA`,
      got: caEarlyRenewalHours,
    },
  ];
  return rules.filter(({ broken }) => broken).map((rule) => ({ ...rule, name: prefix + rule.name }));
}
