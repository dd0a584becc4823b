// The root object of the tour, for q-connection. Both ways in which objects travel occur: a counter is the instance of
// a class and goes by reference, a user is a literal and goes by copy, with functions in it.
//
// No function is async. A reference that came over a connection is a promise that is fulfilled with itself: Q knows,
// but `await` would go round in circles for ever.

import Q from "q";

class Counter {
  count = 0; // own members can be read and written from afar

  next() {
    return ++this.count;
  }

  reset() {
    this.count = 0;
  }
}

export function makeTour() {
  return {
    transform: (s) => s.replace(/[aeiou]{2,}/, "oo").toUpperCase(),

    counter: () => new Counter(),

    on(event, callback) {
      const call = () => callback(event, "data");
      return Q.fcall(call).then(call).then(call).then(() => undefined);
    },

    fail() {
      throw new Error("intentional failure");
    },

    authenticate(token) {
      const name = () => `user of ${token}`;
      return { profile: () => ({ name }) };
    },

    echo: (x) => x,

    work() {
      const { promise, notify, resolve } = Q.defer();
      [10, 50, 90].forEach((progress, i) => setTimeout(notify, 5 * (i + 1), progress));
      setTimeout(resolve, 20, "done");
      return promise;
    },
  };
}
