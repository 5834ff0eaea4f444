package demo

import (
	"encoding/base64"
	"strings"
)

// authenticate hears an AUTH command (RFC 4954 §4). It returns false when the
// dialogue is over: the client has gone, or its session was served to its end.
func (t *smtpTalk) authenticate(args string) bool {
	if t.helo == "" || !t.secure {
		t.notYet()
		return true
	}
	mechanism, encoded, initial := strings.Cut(strings.TrimSpace(args), " ")
	mechanism = strings.ToUpper(mechanism)
	switch mechanism {
	case "XOAUTH2", "OAUTHBEARER":
	case "LOGIN", "PLAIN", "PLAIN-CLIENTTOKEN":
		return t.password(mechanism, initial)
	default:
		t.say("504 5.7.4 Unrecognized Authentication Type. %s - gsmtp")
		return true
	}
	if !initial {
		var ok bool
		if encoded, ok = t.ask(""); !ok {
			return false
		}
	}
	if encoded == "*" {
		t.say("501 5.5.2 Cannot Decode response. %s - gsmtp")
		return true
	}
	cr, err := parseBearer(mechanism, encoded)
	if err != nil {
		t.say("501-5.5.2 Cannot Decode response. For more information, go to",
			"501 5.5.2  https://support.google.com/a/answer/3221692 %s - gsmtp")
		return true
	}
	a, _, ok := t.login(cr)
	if !ok {
		return t.refuse(mechanism)
	}
	return t.welcome(mechanism, a)
}

// ask sends a challenge and returns the client's answer; false if it has gone.
func (t *smtpTalk) ask(challenge string) (string, bool) {
	t.say("334 " + challenge)
	answer, err := t.readLine(smtpSASLLimit)
	if err != nil {
		t.badLine(err)
		return "", false
	}
	return answer, true
}

// refuse challenges first; the refusal waits for the client's answer, whatever
// it is.
func (t *smtpTalk) refuse(mechanism string) bool {
	if _, ok := t.ask(challenge(mechanism)); !ok {
		return false
	}
	t.say("535-5.7.8 Username and Password not accepted. For more information, go to",
		"535 5.7.8  https://support.google.com/mail/?p=BadCredentials %s - gsmtp")
	return true
}

// password hears a password out and refuses it.
func (t *smtpTalk) password(mechanism string, initial bool) bool {
	var prompts []string
	switch {
	case mechanism == "LOGIN" && !initial:
		prompts = []string{"Username:", "Password:"}
	case mechanism == "LOGIN":
		prompts = []string{"Password:"}
	case !initial:
		prompts = []string{""}
	}
	for _, prompt := range prompts {
		if _, ok := t.ask(base64.StdEncoding.EncodeToString([]byte(prompt))); !ok {
			return false
		}
	}
	t.logf("a password was refused: only OAuth opens this mailbox")
	t.say("534-5.7.9 Application-specific password required. For more information, go to",
		"534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor %s - gsmtp")
	return true
}

// welcome is what a right token meets: a fault, or the mailbox.
func (t *smtpTalk) welcome(mechanism string, a *account) bool {
	fault := t.fault()
	if refusal, ok := smtpFaults[fault]; ok {
		t.logf("%s refused: fault %q", a.address, fault)
		t.say(refusal...)
		return true
	}
	t.logf("%s logged in with %s", a.address, mechanism)
	t.say("235 2.7.0 Accepted")
	t.serveSMTP(a, t.helo)
	t.logf("%s is gone", a.address)
	return false
}
