// The limiter: net/http middleware.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Limit is so many requests in a window.
type Limit struct {
	Quota  int
	Window time.Duration
}

// Limiter lets each address have as many requests as all of its limits admit.
type Limiter struct {
	Pool   *redis.Pool
	Limits []Limit
	// Patience is how long a request waits for the answer (connecting takes what the pool allows); after that it is let in.
	Patience time.Duration
}

// Answer is that of RATELIMIT.CHECK; RetryAfter is negative where the request will never pass.
type Answer struct {
	Allowed                bool
	Limit, Remaining       int
	RetryAfter, ResetAfter time.Duration
}

// Check charges one request to all limits, or to none.
func (l *Limiter) Check(subject string) (Answer, error) {
	args := []any{subject}
	for i, limit := range l.Limits {
		if i > 0 {
			args = append(args, "LIMIT")
		}
		args = append(args, limit.Quota, limit.Window.Milliseconds())
	}
	conn := l.Pool.Get()
	defer conn.Close()
	reply, err := redis.Int64s(redis.DoWithTimeout(conn, l.Patience, "RATELIMIT.CHECK", args...))
	if err != nil {
		return Answer{}, err
	}
	if len(reply) < 5 {
		return Answer{}, errors.New("RATELIMIT.CHECK answers five integers")
	}
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	return Answer{reply[0] == 1, int(reply[1]), int(reply[2]), ms(reply[3]), ms(reply[4])}, nil
}

// Wrap answers 429 where the limit of an address is reached, and lets all requests in while the server cannot be asked.
func (l *Limiter) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Behind a proxy of yours: the address that it says.
		address, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			address = r.RemoteAddr
		}
		answer, err := l.Check("limit:" + address)
		if err != nil {
			log.Printf("limits: %v; let in", err)
			next.ServeHTTP(w, r)
			return
		}
		// t would be until there is more quota, which an answer without DETAIL tells of a refusal only: not until all of it is back.
		limit := fmt.Sprintf(`"default";r=%d`, answer.Remaining)
		if !answer.Allowed && answer.RetryAfter >= 0 {
			limit += fmt.Sprintf(";t=%d", seconds(answer.RetryAfter))
			w.Header().Set("Retry-After", fmt.Sprint(seconds(answer.RetryAfter)))
		}
		w.Header().Set("RateLimit", limit)
		if answer.Allowed {
			next.ServeHTTP(w, r)
			return
		}
		http.Error(w, "too many requests", http.StatusTooManyRequests)
	})
}

func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}
