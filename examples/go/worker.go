// The worker: one loop, one item at a time. Start as many as there is to do at once, each as a moderator of its own.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Worker claims items one at a time, keeps their locks while Judge looks at them, and decides them.
type Worker struct {
	Pool *redis.Pool
	// Queue is its key, Moderator who claims: nobody else may use that name, since the end of the worker ends its locks.
	Queue, Moderator string
	// Lock is how long an item stays locked without a heartbeat, Beat how often one is sent, Block how long a claim waits for an item.
	Lock, Beat, Block time.Duration
	// Judge answers the verdict. Its context ends when the lock is lost. After an error the item goes back.
	Judge func(ctx context.Context, payload []byte) (string, error)
}

// claim is one row of the reply of MODQ.CLAIM, as far as it matters here.
type claim struct {
	item    string
	payload []byte
	token   int64
}

var errLost = errors.New("the lock is lost")

func newID() string {
	id := make([]byte, 6)
	_, _ = rand.Read(id)
	return hex.EncodeToString(id)
}

// Run works until ctx ends, then gives back what is in hand.
func (w *Worker) Run(ctx context.Context) {
	for wait := 50 * time.Millisecond; ctx.Err() == nil; {
		found, err := w.claim(ctx)
		if err != nil && ctx.Err() == nil {
			log.Printf("claiming: %v", err)
			sleep(ctx, wait)
			wait = min(2*wait, 5*time.Second)
			continue
		}
		wait = 50 * time.Millisecond
		if found != nil && ctx.Err() == nil {
			w.work(ctx, *found)
		}
	}
	if _, err := w.do("MODQ.LEAVE", w.Queue, w.Moderator, "RELEASE"); err != nil {
		log.Printf("leaving: %v; what is held goes back when its lock ends", err)
	}
}

// claim waits for an item on a connection of its own. Closing that connection makes the server take back what nobody heard of.
// After a lost reply the same claim answers the same item again.
func (w *Worker) claim(ctx context.Context) (*claim, error) {
	conn, err := w.Pool.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-ctx.Done():
			_ = conn.Close()
		case <-done:
		}
	}()
	args := []any{w.Queue, w.Moderator, "LOCK", w.Lock.Milliseconds(), "BLOCK", w.Block.Milliseconds()}
	rows, err := redis.Values(redis.DoWithTimeout(conn, w.Block+2*time.Second, "MODQ.CLAIM", args...))
	if errors.Is(err, redis.ErrNil) || err == nil && len(rows) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	row, err := redis.Values(rows[0], nil)
	if err != nil {
		return nil, err
	}
	var found claim
	_, err = redis.Scan(row, &found.item, &found.payload, &found.token)
	return &found, err
}

func (w *Worker) work(ctx context.Context, c claim) {
	// A claim that was held before may have little of its lock left: extended before anybody works on it.
	if err := w.extend(c); err != nil {
		log.Printf("%s: %v", c.item, err)
		return
	}
	working, cancel := context.WithCancelCause(ctx)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		w.keep(working, cancel, c)
	}()
	verdict, err := w.Judge(working, c.payload)
	lost := errors.Is(context.Cause(working), errLost)
	// No heartbeat may cross the decision: behind it the answer would be NOITEM.
	cancel(nil)
	<-beating
	switch {
	case lost:
		log.Printf("%s: %v", c.item, errLost)
	case err != nil:
		log.Printf("%s: given back: %v", c.item, err)
		_, _ = w.do("MODQ.RELEASE", w.Queue, c.item, c.token, "DELAY", 1000)
	default:
		log.Printf("%s: %s: %s", c.item, verdict, w.resolve(c, verdict))
	}
}

// keep sends heartbeats until ctx ends, or the lock is gone or must be presumed gone.
func (w *Worker) keep(ctx context.Context, cancel context.CancelCauseFunc, c claim) {
	until := time.Now().Add(w.Lock)
	for sleep(ctx, w.Beat) {
		sent := time.Now()
		err := w.extend(c)
		if err == nil {
			until = sent.Add(w.Lock)
		} else if isLoss(err) || time.Until(until) < w.Beat {
			cancel(errLost)
			return
		}
	}
}

func (w *Worker) extend(c claim) error {
	_, err := w.do("MODQ.EXTEND", w.Queue, c.item, c.token, w.Lock.Milliseconds())
	return err
}

// resolve sends the verdict until there is an answer: OK, VOTED or SPLIT, or what became of it.
func (w *Worker) resolve(c claim, verdict string) string {
	uncertain := false
	for end := time.Now().Add(w.Lock); ; {
		status, err := redis.String(w.do("MODQ.RESOLVE", w.Queue, c.item, c.token, "VERDICT", verdict))
		var refused redis.Error
		switch {
		case err == nil:
			return status
		case isLoss(err) && uncertain:
			return "decided, most likely by us: a reply was lost" // with RETAIN set on the queue it would be OK
		case errors.As(err, &refused) && !passes(err) || time.Now().After(end):
			return err.Error()
		}
		uncertain = uncertain || refused == "" // a refusal is an answer: nothing was done
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *Worker) do(command string, args ...any) (any, error) {
	conn := w.Pool.Get()
	defer conn.Close()
	return conn.Do(command, args...)
}

// isLoss tells whether the server says that the item is not ours any more.
func isLoss(err error) bool {
	var refused redis.Error
	return errors.As(err, &refused) && (strings.HasPrefix(err.Error(), "STALE") || strings.HasPrefix(err.Error(), "NOITEM"))
}

// passes tells whether the server may well take the same command a little later: it starts, or is about to be another.
func passes(err error) bool {
	for _, code := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS", "OOM"} {
		if strings.HasPrefix(err.Error(), code+" ") {
			return true
		}
	}
	return false
}

// sleep answers false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
