package upstream

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"authferry/proxy/dialoguetest"
	"authferry/proxy/imapsyntax"
	"authferry/proxy/relay"
	"authferry/tokens/oauth"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// conn returns a connection whose peer sends said and then ends.
func conn(said string) *relay.Conn {
	return relay.NewConn(relay.NewWire(dialoguetest.NewPeer([]byte(said))))
}

func TestQuotable(t *testing.T) {
	for in, want := range map[string]string{
		"  Invalid credentials\r\na2 OK injected": "Invalid credentialsa2 OK injected",
		"tab\there, é and \xff\x00":               "tab here, ? and ?",
		strings.Repeat("x", 160):                  strings.Repeat("x", 160),
		strings.Repeat("x", 161):                  strings.Repeat("x", 157) + "...",
	} {
		if got := Quotable(in); got != want {
			t.Errorf("Quotable(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestMeaningOfRefusals: what the answers of providers mean. The form of a line
// shows its protocol.
func TestMeaningOfRefusals(t *testing.T) {
	p := &oauth.Provider{Name: "gmail"}
	meaning := func(line string) error {
		switch {
		case strings.HasPrefix(line, "-ERR"):
			return pop3Refusal(p, strings.TrimPrefix(line, "-ERR "), true)
		case strings.HasPrefix(line, "NO") || strings.HasPrefix(line, "BAD"):
			return imapRefusal(p, imapsyntax.ParseStatus(line), strings.HasPrefix(line, "NO"))
		}
		r, err := readReply(conn(line + "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return smtpRefusal(p, r, ErrTokenRefused)
	}
	for line, want := range map[string]error{
		"NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)":         ErrTokenRefused,
		"NO AUTHENTICATE failed.":                                         ErrTokenRefused, // Microsoft
		"NO Lookup failed x2mb241876667wmk":                               ErrTokenRefused,
		"NO [EXPIRED] token expired":                                      ErrTokenRefused,
		"NO [AUTHORIZATIONFAILED] not yours":                              ErrTokenRefused,
		"-ERR [AUTH] Username and Password not accepted.":                 ErrTokenRefused,
		"-ERR Authentication failure: unknown user name or bad password.": ErrTokenRefused,
		"535-5.7.8 Username and Password not accepted. For more information, go to\r\n535 5.7.8  https://x - gsmtp": ErrTokenRefused,
		"535 5.7.3 Authentication unsuccessful [SN2PR00CA0018.namprd00.prod.outlook.com]":                           ErrTokenRefused,
		"535 5.7.8 Error: authentication failed: (reason unavailable)":                                              ErrTokenRefused,
		"NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754":      ErrProviderRefused,
		"NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page (Failure)":      ErrProviderRefused,
		"NO [ALERT] IMAP access is disabled for your domain.":                                                       ErrProviderRefused,
		"NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833":      ErrProviderRefused,
		"NO [CONTACTADMIN] ask":                                       ErrProviderRefused,
		"NO [NOPERM] no":                                              ErrProviderRefused,
		"NO [PRIVACYREQUIRED] no":                                     ErrProviderRefused,
		"NO [CANNOT] Unsupported mechanism":                           ErrProviderRefused,
		"BAD Error in IMAP command AUTHENTICATE":                      ErrProviderRefused,
		"-ERR [SYS/PERM] Your account is not enabled for POP access.": ErrProviderRefused,
		"-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754":                                ErrProviderRefused,
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.":               ErrProviderRefused,
		"534-5.7.9 Application-specific password required.\r\n534 5.7.9  https://x - gsmtp":                           ErrProviderRefused,
		"534-5.7.14 <https://accounts.google.com/signin/continue?plt=AKgnsb>\r\n534 5.7.14 log in and then try again": ErrProviderRefused,
		"504 5.7.4 Unrecognized Authentication Type.":                                                                 ErrProviderRefused,
		"555 5.5.2 Syntax error, goodbye.":                                                                            ErrProviderRefused,
		"501 5.5.124 Invalid XOAUTH2 auth data":                                                                       ErrProviderRefused,
		"NO [ALERT] Too many simultaneous connections. (Failure)":                                                     ErrProviderBusy,
		"NO Temporary System Problem. Try again later. (Failure)":                                                     ErrProviderBusy,
		"NO [UNAVAILABLE] x": ErrProviderBusy,
		"NO [LIMIT] x":       ErrProviderBusy,
		"NO [INUSE] x":       ErrProviderBusy,
		"NO [SERVERBUG] x":   ErrProviderBusy,
		"NO [OVERQUOTA] x":   ErrProviderBusy,
		"NO [AUTHENTICATIONFAILED] Account exceeded command or bandwidth limits. (Failure)": ErrProviderBusy,
		"BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds":              ErrProviderBusy,
		"-ERR [SYS/TEMP] Temporary system problem. Please try again later.":                 ErrProviderBusy,
		"-ERR [IN-USE] another session":                                                     ErrProviderBusy,
		"-ERR [LOGIN-DELAY] wait":                                                           ErrProviderBusy,
		"-ERR [AUTH] Account exceeded pop command or bandwidth limits (Failure)":            ErrProviderBusy,
		"454 4.7.0 Too many login attempts, please try again later. x - gsmtp":              ErrProviderBusy,
		"421 4.7.0 Try again later, closing connection. (EHLO)":                             ErrProviderBusy,
		"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded":                     ErrProviderBusy,
	} {
		if err := meaning(line); !errors.Is(err, want) {
			t.Errorf("%s\n\tmeans %v, want %v", line, err, want)
		}
	}
}

func TestExplainChallenge(t *testing.T) {
	for challenge, want := range map[string]string{
		b64(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`): "status 400, scope https://mail.google.com/",
		b64(`{"status":"invalid_token","scope":"mail","openid-configuration":"x"}`):   "status invalid_token, scope mail",
		b64("not json\r\n"): "not json",
		"***":               "***",
		"":                  "",
	} {
		if got := explainChallenge(challenge); got != want {
			t.Errorf("explainChallenge(%q) = %q, want %q", challenge, got, want)
		}
	}
}

func TestPlausibleName(t *testing.T) {
	for name, want := range map[string]bool{
		"mail.example.org": true, "XC-B8C463": true, "[192.0.2.7]": true, "[IPv6:2001:db8::1]": true, "[IPV6:::1]": true,
		"NAS_2": true, "": false, "[": false, "[]": false, "[127.0.0.1": false, "a b": false, "drucker-büro": false,
		"<script>": false, "a\r\nMAIL FROM:<x>": false, ".x": false,
	} {
		if got := plausibleName(name); got != want {
			t.Errorf("plausibleName(%q) = %v", name, got)
		}
	}
}

func TestReadReply(t *testing.T) {
	for said, want := range map[string]smtpReply{
		"220 hi\r\n":                    {220, []string{"hi"}},
		"250-a\r\n250-b c\r\n250 d\r\n": {250, []string{"a", "b c", "d"}},
		"334 \r\n":                      {334, []string{""}},
		"334\r\n":                       {334, []string{""}},
		"250-\r\n250 x\n":               {250, []string{"", "x"}},
	} {
		if got, err := readReply(conn(said)); err != nil || got.code != want.code || !slices.Equal(got.lines, want.lines) {
			t.Errorf("readReply(%q) = %v, %v", said, got, err)
		}
	}
	for _, bad := range []string{"\r\n", "2\r\n", "abc\r\n", "2500 x\r\n", "999 x\r\n", "-12 x\r\n", "250-a\r\n"} {
		if got, err := readReply(conn(bad)); err == nil {
			t.Errorf("readReply(%q) = %v", bad, got)
		}
	}
}
