// The index of the tour, for a Capnode peer. All functions are async, because an error thrown synchronously is never
// answered.

export const tour = {
  transform: async (s) => s.replace(/[aeiou]{2,}/, "oo").toUpperCase(),

  async counter() {
    let count = 0;
    return { next: async () => ++count, reset: async () => void (count = 0) };
  },

  async on(event, callback) {
    for (let i = 0; i < 3; i++) await callback(event, "data");
  },

  async fail() {
    throw new Error("intentional failure");
  },

  async authenticate(token) {
    const name = async () => `user of ${token}`;
    return { profile: async () => ({ name }) };
  },

  echo: async (x) => x,
};
