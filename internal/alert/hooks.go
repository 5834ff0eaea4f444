package alert

import (
	"context"
	"sync"

	"go.uber.org/zap"
)

// hook is one way to send a message.
type hook struct {
	name string
	send func(context.Context, Message) error
}

// hooks returns the hooks of the configuration in force. tries bounds how often
// the webhook is tried in a row.
func (w *Watcher) hooks(tries int) []hook {
	c := w.config.Load()
	var list []hook
	for _, name := range c.Hooks() {
		list = append(list, hook{name, map[string]func(context.Context, Message) error{
			hookCommand: func(ctx context.Context, m Message) error {
				return runCommand(ctx, c.Command, m, commandTime)
			},
			hookWebhook: func(ctx context.Context, m Message) error {
				post, err := newWebhook(c.Webhook)
				if err != nil {
					return err
				}
				post.pause, post.tries = w.pause, tries
				return post.send(ctx, m)
			},
			hookMail: (&mailer{vault: w.vault, providers: w.providers, from: c.MailFrom, to: c.MailTo, look: w.Look}).send,
		}[name]})
	}
	return list
}

// Result is the outcome of one hook.
type Result struct {
	Hook string
	Err  error
}

// deliver sends a message to the wanted hooks at the same time: one that hangs
// does not delay the others.
func (w *Watcher) deliver(ctx context.Context, m Message, tries int, wanted func(string) bool) []Result {
	m.Host = w.host
	var results []Result
	var chosen []hook
	for _, h := range w.hooks(tries) {
		if wanted(h.name) {
			chosen = append(chosen, h)
			results = append(results, Result{Hook: h.name})
		}
	}
	var running sync.WaitGroup
	for i, h := range chosen {
		running.Go(func() {
			results[i].Err = h.send(ctx, m)
			w.metrics.delivered(h.name, results[i].Err)
		})
	}
	running.Wait()
	return results
}

// Try sends a test message to every hook, once, because a person waits.
func (w *Watcher) Try(ctx context.Context) []Result {
	return w.deliver(ctx, NewTrial(w.host, w.now()), 1, func(string) bool { return true })
}

// report logs the outcome. A hook that keeps failing is logged once.
func (w *Watcher) report(r Result, e Event) {
	failing := w.failing[r.Hook]
	switch {
	case r.Err != nil && !failing:
		w.log.Warn("alert not delivered", zap.String("hook", r.Hook), zap.String("event", string(e)), zap.Error(r.Err),
			zap.String("fix", "authferry alert test tries all hooks and says what is wrong"))
	case r.Err == nil:
		w.log.Info("alert delivered", zap.String("hook", r.Hook), zap.String("event", string(e)))
	}
	w.failing[r.Hook] = r.Err != nil
}
