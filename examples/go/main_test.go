// The worker and the limiter against servers with the module: MODQ_SERVER is the server's program, MODQ_SO the module.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// How long a test waits for what is to happen: more means that it is broken.
const patience = 60 * time.Second

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// start runs a server with the module (MODQ_SERVER, MODQ_SO) until the test ends.
func start(t *testing.T) (*redis.Pool, *exec.Cmd) {
	t.Helper()
	for try := 0; try < 5; try++ { // a port that was free may be taken before the server has it
		probe, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := probe.Addr().(*net.TCPAddr).Port
		_ = probe.Close()
		server := exec.Command(os.Getenv("MODQ_SERVER"), "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "",
			"--dir", t.TempDir(), "--loadmodule", os.Getenv("MODQ_SO"))
		var said bytes.Buffer
		server.Stdout = &said
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = server.Wait()
			close(ended)
		}()
		t.Cleanup(func() {
			_ = server.Process.Kill()
			<-ended
		})
		pool := &redis.Pool{Dial: connectTo(fmt.Sprintf("redis://127.0.0.1:%d", port)), MaxIdle: 10}
		gone := false
		eventually(t, "the server", func() bool {
			select {
			case <-ended:
				gone = true
			default:
			}
			_, err := ask(pool, "MODQ.LEN", "review")
			return err == nil || gone
		})
		if !gone {
			return pool, server
		}
		if !strings.Contains(said.String(), "in use") {
			t.Fatalf("the server ended: %s", said.String())
		}
	}
	t.Fatal("no server")
	return nil, nil
}

func ask(pool *redis.Pool, command string, args ...any) (any, error) {
	conn := pool.Get()
	defer conn.Close()
	return conn.Do(command, args...)
}

func stat(t *testing.T, pool *redis.Pool, name string) int {
	t.Helper()
	pairs, err := redis.Values(ask(pool, "MODQ.STATS", "review", "BRIEF"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if field, _ := redis.String(pairs[i], nil); field == name {
			n, _ := redis.Int(pairs[i+1], nil)
			return n
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

func submit(t *testing.T, pool *redis.Pool, item, payload string) {
	t.Helper()
	if _, err := ask(pool, "MODQ.SUBMIT", "review", item, payload); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, worker *Worker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		worker.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

func TestWorkersAgree(t *testing.T) {
	pool, _ := start(t)
	if _, err := ask(pool, "MODQ.CONFIGURE", "review", "QUORUM", 2, 2, "RETAIN", 3_600_000); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 10; i++ {
		submit(t, pool, fmt.Sprintf("post:%d", i), []string{"hello", "Buy now!"}[i%2])
	}
	for _, name := range []string{"ann", "bob"} {
		run(t, &Worker{Pool: pool, Queue: "review", Moderator: name, Lock: 30 * time.Second, Beat: 10 * time.Second, Block: time.Second, Judge: judge})
	}
	eventually(t, "all to be decided", func() bool { return stat(t, pool, "resolved") == 10 })
	for i := 0; i < 10; i++ {
		record, err := redis.Values(ask(pool, "MODQ.DECIDED", "review", fmt.Sprintf("post:%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if verdict, _ := redis.String(record[3], nil); verdict != []string{"keep", "remove"}[i%2] {
			t.Errorf("post:%d: %q", i, verdict)
		}
	}
	if n := stat(t, pool, "votes"); n != 10 {
		t.Errorf("%d votes", n)
	}
}

func TestWorkerKeepsLocksAndGivesBack(t *testing.T) {
	pool, _ := start(t)
	var once sync.Once
	begun, lost := make(chan bool, 1), make(chan error, 1)
	worker := &Worker{Pool: pool, Queue: "review", Moderator: "bot", Lock: 60 * time.Second, Beat: 50 * time.Millisecond, Block: time.Second}
	worker.Judge = func(ctx context.Context, payload []byte) (string, error) {
		switch string(payload) {
		case "fails":
			var err error
			once.Do(func() { err = errors.New("not yet") })
			return "keep", err
		case "waits":
			begun <- true
			<-ctx.Done()
			lost <- context.Cause(ctx)
			return "", ctx.Err()
		}
		return "keep", nil
	}
	stop := run(t, worker)
	submit(t, pool, "a", "fails")
	eventually(t, "it to be decided the second time", func() bool { return stat(t, pool, "resolved") == 1 })
	if n := stat(t, pool, "released"); n != 1 {
		t.Errorf("%d given back", n)
	}
	// Held by heartbeats until it is cancelled.
	submit(t, pool, "b", "waits")
	<-begun
	eventually(t, "heartbeats", func() bool {
		calls, err := redis.String(ask(pool, "INFO", "commandstats"))
		var n int
		for _, line := range strings.Split(calls, "\n") {
			_, _ = fmt.Sscanf(line, "cmdstat_modq.extend:calls=%d", &n)
		}
		return err == nil && n >= 6
	})
	if _, err := ask(pool, "MODQ.CANCEL", "review", "b"); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !errors.Is(err, errLost) {
		t.Errorf("told %v", err)
	}
	// What is in hand at the end goes back at once.
	submit(t, pool, "c", "waits")
	<-begun
	stop()
	<-lost
	if locked, left := stat(t, pool, "locked"), stat(t, pool, "ready")+stat(t, pool, "delayed"); locked != 0 || left != 1 {
		t.Errorf("%d locked, %d left", locked, left)
	}
}

// While a server is not the primary its refusals pass, and say nothing of what became of the decision.
func TestDecisionWaitsForThePrimary(t *testing.T) {
	pool, _ := start(t)
	submit(t, pool, "post:1", "hello")
	asReplica := func(context.Context, []byte) (string, error) {
		_, err := ask(pool, "REPLICAOF", "127.0.0.1", "1")
		return "keep", err
	}
	run(t, &Worker{Pool: pool, Queue: "review", Moderator: "ann", Lock: time.Minute, Beat: 20 * time.Second, Block: time.Second, Judge: asReplica})
	eventually(t, "a refusal", func() bool {
		errors, _ := redis.String(ask(pool, "INFO", "errorstats"))
		return strings.Contains(errors, "READONLY")
	})
	if _, err := ask(pool, "REPLICAOF", "NO", "ONE"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the decision", func() bool { return stat(t, pool, "resolved") == 1 })
}

func TestLimits(t *testing.T) {
	pool, server := start(t)
	limiter := Limiter{Pool: pool, Limits: []Limit{{2, time.Hour}, {100, 24 * time.Hour}}, Patience: 30 * time.Second}
	hello := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	web := httptest.NewServer(limiter.Wrap(hello))
	defer web.Close()
	get := func() *http.Response {
		answer, err := http.Get(web.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer
	}
	for i, want := range []int{200, 200, 429} {
		answer := get()
		if answer.StatusCode != want {
			t.Errorf("request %d: %d", i, answer.StatusCode)
		}
		after, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		if (want == 429) != (after > 1800) {
			t.Errorf("request %d: %v", i, answer.Header)
		}
		limit := fmt.Sprintf(`"default";r=%d`, max(0, 1-i))
		if want == 429 {
			limit += fmt.Sprintf(";t=%d", after)
		}
		if answer.Header.Get("RateLimit") != limit {
			t.Errorf("request %d: %v", i, answer.Header)
		}
	}
	_ = server.Process.Kill()
	eventually(t, "all to be let in", func() bool { return get().StatusCode == 200 })
}
