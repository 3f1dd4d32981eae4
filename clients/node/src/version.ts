// The version of this package, and of the module it speaks to.

export const VERSION = '0.2.0';
/** The versions of the module whose commands this package knows. */
export const MODULE_VERSIONS = '>=0.1 <0.3';
