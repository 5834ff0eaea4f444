package config

import (
	"errors"
	"strings"
)

// domainForms are the ways one domain is written: with the letters of its
// language, and as DNS has it (RFC 5890 §2.3.2.1). Mail programs send either.
func DomainForms(domain string) []string {
	labels := strings.Split(domain, ".")
	unicode, ascii := make([]string, len(labels)), make([]string, len(labels))
	for i, label := range labels {
		unicode[i], ascii[i] = label, label
		if encoded, ok := strings.CutPrefix(label, "xn--"); ok {
			if decoded, err := depunycode(encoded); err == nil {
				unicode[i] = decoded
			}
		} else if strings.ContainsFunc(label, func(r rune) bool { return r > 0x7f }) {
			ascii[i] = "xn--" + punycode(label)
		}
	}
	u, a := strings.Join(unicode, "."), strings.Join(ascii, ".")
	if u == a {
		return []string{a}
	}
	return []string{a, u}
}

// The numbers of RFC 3492 §5.
const (
	punyBase  = 36
	punyTMin  = 1
	punyTMax  = 26
	punySkew  = 38
	punyDamp  = 700
	punyBias  = 72
	punyFirst = 0x80
)

const punyDigits = "abcdefghijklmnopqrstuvwxyz0123456789"

// punycode is the encoding procedure of RFC 3492 §6.3.
func punycode(label string) string {
	var out strings.Builder
	letters := []rune(label)
	for _, r := range letters {
		if r < punyFirst {
			out.WriteRune(r)
		}
	}
	basic := out.Len()
	done := basic
	if basic > 0 {
		out.WriteByte('-')
	}
	next, delta, bias := rune(punyFirst), 0, punyBias
	for done < len(letters) {
		least := rune(0x10ffff)
		for _, r := range letters {
			if r >= next && r < least {
				least = r
			}
		}
		delta += int(least-next) * (done + 1)
		next = least
		for _, r := range letters {
			if r < next {
				delta++
			}
			if r != next {
				continue
			}
			q := delta
			for k := punyBase; ; k += punyBase {
				t := threshold(k, bias)
				if q < t {
					break
				}
				out.WriteByte(punyDigits[t+(q-t)%(punyBase-t)])
				q = (q - t) / (punyBase - t)
			}
			out.WriteByte(punyDigits[q])
			bias = adapt(delta, done+1, done == basic)
			delta = 0
			done++
		}
		delta++
		next++
	}
	return out.String()
}

// depunycode is the decoding procedure of RFC 3492 §6.2.
func depunycode(label string) (string, error) {
	damaged := errors.New("not punycode")
	basic := max(strings.LastIndexByte(label, '-'), 0)
	letters := []rune(label[:basic])
	rest := strings.TrimPrefix(label[basic:], "-")
	next, i, bias := punyFirst, 0, punyBias
	for rest != "" {
		before, weight := i, 1
		for k := punyBase; ; k += punyBase {
			if rest == "" {
				return "", damaged
			}
			digit := strings.IndexByte(punyDigits, rest[0])
			rest = rest[1:]
			if digit < 0 || weight > 1<<30 {
				return "", damaged
			}
			i += digit * weight
			t := threshold(k, bias)
			if digit < t {
				break
			}
			weight *= punyBase - t
		}
		bias = adapt(i-before, len(letters)+1, before == 0)
		next += i / (len(letters) + 1)
		i %= len(letters) + 1
		if next > 0x10ffff {
			return "", damaged
		}
		letters = append(letters[:i], append([]rune{rune(next)}, letters[i:]...)...)
		i++
	}
	return string(letters), nil
}

func threshold(k, bias int) int { return min(max(k-bias, punyTMin), punyTMax) }

// adapt is the bias adaptation of RFC 3492 §6.1.
func adapt(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyTMin)*punyTMax/2; k += punyBase {
		delta /= punyBase - punyTMin
	}
	return k + (punyBase-punyTMin+1)*delta/(delta+punySkew)
}
