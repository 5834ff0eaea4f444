package logging

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestRepeats: the same line is written so often, then counted, and lost never.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		log := zap.New(withoutRepeats(core))
		port := 1000
		refuse := func(from string) {
			port++
			log.With(zap.String("protocol", "imap")).Info("login refused", zap.String("client", fmt.Sprintf("%s:%d", from, port)),
				zap.Error(fmt.Errorf("read tcp 127.0.0.1:143->%s:%d: reset", from, port)))
		}
		for range repeatsShown + 7 {
			refuse("192.0.2.1")
		}
		refuse("192.0.2.2")
		refuse("[2001:db8::1]")
		log.With(zap.String("protocol", "pop3")).Info("login refused", zap.String("client", "192.0.2.1:5"))
		for range 3 * repeatsShown { // each of them is news
			log.Info("session established", zap.String("client", "192.0.2.1:5"))
		}
		if n := logs.FilterMessage("session established").Len(); n != 3*repeatsShown {
			t.Errorf("%d sessions established", n)
		}
		if n := logs.FilterMessage("login refused").Len(); n != repeatsShown+3 {
			t.Errorf("%d refusals written at once", n)
		}
		began := time.Now()
		logs.TakeAll()
		time.Sleep(repeatsWindow)
		synctest.Wait()
		sum := logs.TakeAll()
		if len(sum) != 1 || sum[0].ContextMap()["repeated"] != int64(7) || sum[0].ContextMap()["client"] != fmt.Sprintf("192.0.2.1:%d", 1000+repeatsShown+7) ||
			!sum[0].ContextMap()["since"].(time.Time).Equal(began) || sum[0].ContextMap()["protocol"] != "imap" {
			t.Errorf("after the window: %+v", sum)
		}

		// As long as it goes on, a line a window.
		for range 5 {
			refuse("192.0.2.1")
		}
		if n := logs.Len(); n != 0 {
			t.Errorf("%d lines within the second window", n)
		}
		time.Sleep(repeatsWindow)
		synctest.Wait()
		if sum := logs.TakeAll(); len(sum) != 1 || sum[0].ContextMap()["repeated"] != int64(5) {
			t.Errorf("after the second window: %+v", sum)
		}

		// What is held when the program ends is written.
		refuse("192.0.2.1")
		refuse("192.0.2.1")
		if err := log.Sync(); err != nil {
			t.Error(err)
		}
		if sum := logs.TakeAll(); len(sum) != 1 || sum[0].ContextMap()["repeated"] != int64(2) {
			t.Errorf("at the end: %+v", sum)
		}

		// A window without it, and it is new again.
		refuse("192.0.2.1")
		time.Sleep(repeatsWindow)
		synctest.Wait()
		if r := log.Core().(*repeats); len(r.state.runs) != 0 {
			t.Errorf("%d lines are remembered", len(r.state.runs))
		}
		if n := logs.Len(); n != 1 {
			t.Errorf("%d lines", n)
		}
	})
}

// TestRepeatsAreBounded: clients from many addresses fill no memory, and
// hide nothing.
func TestRepeatsAreBounded(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	log := zap.New(withoutRepeats(core))
	for i := range maxRepeats + 10 {
		log.Info("connection refused", zap.String("client", fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)))
	}
	for range repeatsShown + 10 {
		log.Info("connection refused", zap.String("client", "192.0.2.1:1"))
	}
	if n := logs.Len(); n != maxRepeats+10+repeatsShown+10 {
		t.Errorf("%d lines", n)
	}
	if n := len(log.Core().(*repeats).state.runs); n != maxRepeats {
		t.Errorf("%d lines are remembered", n)
	}
	if err := log.Sync(); err != nil {
		t.Error(err)
	}
}
