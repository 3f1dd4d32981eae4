//! Clients that wait in blocked calls, and answers on their way to them: what the host keeps.

use super::*;

/// A client that waits, and in which queues.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    pub call: ModelCall,
    pub at: Vec<usize>,
}

/// An answer that has not gone out yet, and from where.
#[derive(Debug, Clone)]
struct Flight {
    waiter: Waiter,
    from: usize,
    answer: ModelAnswer,
}

/// What the host keeps of blocked clients.
#[derive(Debug, Default)]
pub(super) struct Register {
    pub waiters: BTreeMap<u64, Waiter>,
    flights: Vec<Flight>,
    pub last_call: u64,
}

impl Register {
    /// The calls that wait at one queue.
    fn at(&self, side: usize) -> Vec<ModelCall> {
        let here = self.waiters.values().filter(|w| w.at.contains(&side));
        here.map(|w| w.call.clone()).collect()
    }
}

impl World {
    /// Calls that are answered wait nowhere else; one that is answered already cannot use more.
    pub(super) fn answered(&mut self, from: usize, answers: Vec<ModelAnswer>) {
        let mut surplus = Vec::new();
        for answer in answers {
            let Some(waiter) = self.register.waiters.remove(&answer.call) else {
                surplus.push(answer);
                continue;
            };
            for side in waiter.at.iter().filter(|side| **side != from) {
                self.sides[*side].hang_up(self.now, &waiter.call);
            }
            self.register.flights.push(Flight {
                waiter,
                from,
                answer,
            });
        }
        for answer in surplus {
            self.take_back(from, &answer);
        }
    }

    /// Undoes a match that reached nobody.
    fn take_back(&mut self, from: usize, answer: &ModelAnswer) {
        let same = |f: &Flight| f.from == from && f.answer.token == answer.token;
        let shared = self.register.flights.iter().any(same);
        let (Some(before), false) = (answer.undo, shared) else {
            return;
        };
        let (side, place) = (&mut self.sides[from], before.joined_at);
        let mut out = Outcome::default();
        let (id, token) = (answer.item.as_bytes(), answer.token);
        let undone = side.queue.undo(self.now, id, token, place, &mut out);
        let expected = side.model.undo(self.now, &answer.item, token, place);
        assert_eq!(undone, expected);
        if undone {
            self.undone.push((from, token));
            *self.seen.entry("undo").or_default() += 1;
        }
        let answers = self.sides[from].share(&out);
        self.answered(from, answers);
    }

    /// What happens to clients that wait or are about to be answered.
    pub(super) fn wait(&mut self, step: &Step) {
        let now = self.now;
        let flights = self.register.flights.len();
        match step.op {
            Op::HangUp(n) => self.hang_up(n),
            Op::Vanish(n) if flights > 0 => {
                let flight = self.register.flights.remove(n % flights);
                self.take_back(flight.from, &flight.answer);
            }
            Op::Unblock(n) if flights > 0 => {
                let flight = self.register.flights.remove(n % flights);
                // Somebody has the lock now: it is not taken back from them.
                for other in &mut self.register.flights {
                    if (other.from, other.answer.token) == (flight.from, flight.answer.token) {
                        other.answer.undo = None;
                    }
                }
            }
            Op::Deliver => self.deliver(),
            Op::Reload(_, kept) => {
                match kept {
                    true => self.sides[step.at].attach(now, &self.register.at(step.at)),
                    false => self.forget_clients(step.at),
                }
                self.note_flights(step.at);
            }
            Op::Attach => self.sides[step.at].attach(now, &self.register.at(step.at)),
            _ => {}
        }
    }

    /// A queue that was loaded knows nothing of calls with an answer on its way, which may come
    /// back to their place, nor of the places by JOIN that an undone match comes back to. Who comes
    /// from now on stands behind these: at one place there is no order that the model has.
    fn note_flights(&mut self, at: usize) {
        for flight in &self.register.flights {
            let call = &flight.waiter.call;
            let waits = flight.waiter.at.contains(&at).then_some(call.place);
            let here = flight.answer.undo.filter(|_| flight.from == at);
            let joined = here.and_then(|before| before.joined_at);
            for place in waits.into_iter().chain(joined) {
                let side = &mut self.sides[at];
                let call = ModelCall {
                    place,
                    ..call.clone()
                };
                block(&mut side.queue, &call);
                side.model.block(call.clone());
                side.hang_up(self.now, &call);
            }
        }
    }

    fn hang_up(&mut self, n: usize) {
        let ids: Vec<u64> = self.register.waiters.keys().copied().collect();
        if let Some(id) = ids.get(n % ids.len().max(1)) {
            let waiter = self.register.waiters.remove(id).expect("there");
            for side in waiter.at {
                self.sides[side].hang_up(self.now, &waiter.call);
            }
            *self.seen.entry("hang up").or_default() += 1;
        }
    }

    fn deliver(&mut self) {
        let mut attach = BTreeSet::new();
        for flight in std::mem::take(&mut self.register.flights) {
            let queue = &self.sides[flight.from].queue;
            let item = flight.answer.item.as_bytes();
            if queue.locked(item, Token(flight.answer.token)).is_some() {
                continue;
            }
            *self.seen.entry("back in line").or_default() += 1;
            attach.extend(flight.waiter.at.iter().copied());
            let id = flight.waiter.call.id;
            self.register.waiters.insert(id, flight.waiter);
        }
        for side in attach {
            self.sides[side].attach(self.now, &self.register.at(side));
        }
    }

    /// Nobody waits at a queue that a new process has.
    fn forget_clients(&mut self, at: usize) {
        self.register.flights.retain(|flight| flight.from != at);
        let gone = |w: &Waiter| w.at.contains(&at);
        for waiter in self.register.waiters.values().filter(|w| gone(w)) {
            for side in waiter.at.iter().filter(|side| **side != at) {
                self.sides[*side].hang_up(self.now, &waiter.call);
            }
        }
        self.register.waiters.retain(|_, w| !gone(w));
    }
}
