package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// cmdOld writes the file of another program that signed in to a mailbox with the
// client of the simulated Gmail.
func (s *stage) cmdOld(ts *testscript.TestScript, args []string) error {
	format, file, mailbox := args[0], args[1], args[2]
	refresh, err := s.signIn(mailbox)
	if err != nil {
		return err
	}
	content := ""
	switch id, secret := s.gmail.ClientID, s.gmail.ClientSecret; format {
	case "token":
		content = refresh + "\n"
	case "mutt_oauth2":
		content = fmt.Sprintf(`{"registration": "google", "authflow": "authcode", "email": %q, "access_token": "", "refresh_token": %q, "client_id": %q, "client_secret": %q}`,
			mailbox, refresh, id, secret)
	case "oama":
		content = fmt.Sprintf(`{"access_token":"","email":{"unEmailAddress":%q},"expires_in":3599,"refresh_token":%q,"service":"google","token_type":"Bearer"}`, mailbox, refresh)
	case "sasl-xoauth2":
		content = fmt.Sprintf(`{"refresh_token": %q, "client_id": %q, "client_secret": %q, "token_endpoint": %q, "expiry": 0}`, refresh, id, secret, s.gmail.TokenURL)
	case "email-oauth2-proxy":
		content = s.emailProxy(mailbox, refresh, args[3])
	case "email-oauth2-proxy-domain":
		content = s.emailProxyDomain(mailbox)
	default:
		return fmt.Errorf("no program %q", format)
	}
	ts.Setenv("CLIENT_SECRET", s.gmail.ClientSecret)
	ts.Setenv("REFRESH_TOKEN", refresh)
	return os.WriteFile(ts.MkAbs(file), []byte(content), 0o600)
}

// signIn gives consent to the other program.
func (s *stage) signIn(mailbox string) (refresh string, err error) {
	p := oauth.Builtin()["gmail"]
	p.AuthURL, p.TokenURL, p.ClientID, p.ClientSecret = s.gmail.AuthURL, s.gmail.TokenURL, s.gmail.ClientID, secret.String(s.gmail.ClientSecret)
	consent, err := p.NewConsent("http://127.0.0.1:1/", mailbox)
	if err != nil {
		return "", err
	}
	redirected, err := s.gmail.Consent(consent.URL, mailbox)
	if err != nil {
		return "", err
	}
	t, err := consent.Finish(context.Background(), redirected)
	if err != nil {
		return "", err
	}
	return t.Refresh.Reveal(), nil
}

func (s *stage) emailProxy(mailbox, refresh, password string) string {
	const iterations = 1000
	salt := []byte("a salt of sixteen")
	var b strings.Builder
	fmt.Fprintf(&b, "[%s]\npermission_url = %s\ntoken_url = %s\noauth2_scope = https://mail.google.com/\nredirect_uri = http://localhost\nclient_id = %s\nclient_secret = %s\n",
		mailbox, s.gmail.AuthURL, s.gmail.TokenURL, s.gmail.ClientID, s.gmail.ClientSecret)
	fmt.Fprintf(&b, "token_salt = %s\ntoken_iterations = %d\nrefresh_token = %s\n",
		base64.StdEncoding.EncodeToString(salt), iterations, fernet(password, salt, iterations, refresh))
	host, port, _ := net.SplitHostPort(s.gmail.IMAP)
	fmt.Fprintf(&b, "[IMAP-1993]\nserver_address = %s\nserver_port = %s\nlocal_address = 127.0.0.1\n", host, port)
	fmt.Fprintf(&b, "[nobody@gmail.com]\ntoken_url = x\nclient_id = *** your client id here ***\n")
	return b.String()
}

// emailProxyDomain opens a whole domain by a service account.
func (s *stage) emailProxyDomain(mailbox string) string {
	host, port, _ := net.SplitHostPort(s.gmail.IMAP)
	return fmt.Sprintf("[@gmail.com]\ntoken_url = %s\noauth2_scope = https://mail.google.com/\noauth2_flow = service_account\nclient_id = key\nclient_secret = %s\n",
		s.gmail.TokenURL, strings.ReplaceAll(string(s.gmail.ServiceAccountJSON()), "\n", "\n ")) +
		fmt.Sprintf("[%s]\nlast_activity = 1700000000\n[IMAP-1993]\nserver_address = %s\nserver_port = %s\n", mailbox, host, port) +
		"[emailproxy]\nallow_catch_all_accounts = True\n"
}

// fernet encrypts as email-oauth2-proxy does:
// https://github.com/fernet/spec/blob/master/Spec.md
func fernet(password string, salt []byte, iterations int, text string) string {
	key, err := pbkdf2.Key(sha256.New, password, salt, iterations, 32)
	if err != nil {
		panic(err) // the sizes are valid
	}
	block, err := aes.NewCipher(key[16:])
	if err != nil {
		panic(err) // the key has 16 bytes
	}
	pad := aes.BlockSize - len(text)%aes.BlockSize
	padded := []byte(text + strings.Repeat(string(rune(pad)), pad))
	iv := make([]byte, aes.BlockSize) // fixed: nothing is secret in a test
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	signed := append(append(append([]byte{0x80}, make([]byte, 8)...), iv...), padded...)
	mac := hmac.New(sha256.New, key[:16])
	mac.Write(signed)
	return base64.URLEncoding.EncodeToString(mac.Sum(signed))
}
