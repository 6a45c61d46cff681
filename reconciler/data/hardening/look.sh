# Prints how closed this machine is, as lines NAME=VALUE; a text of several lines is in base64. Changes nothing. Run as
# root; what only root can see is left out otherwise.
# shellcheck shell=sh
harden_text() { printf 'harden_%s=%s\n' "$1" "$(base64 | tr -d '\n')"; }
harden_look() {
    LC_ALL=C
    export LC_ALL
    printf 'harden_root=%s\n' "$(id -u | sed 's/^0$/yes/')"
    harden_sshd=$(PATH=$PATH:/usr/sbin:/sbin command -v sshd || true)
    if [ -n "$harden_sshd" ]; then
        "$harden_sshd" -T 2>/dev/null | sed -n 's/^port /harden_port=/p'
        harden_users=$("$harden_sshd" -T 2>/dev/null | sed -n 's/^allowusers //p')
        for harden_user in root $harden_users; do
            case $harden_user in *[@*?!,]*) continue ;; esac
            harden_test="user=$harden_user,host=client,addr=192.0.2.1,laddr=192.0.2.2,lport=22"
            { printf 'user %s\n' "$harden_user"; "$harden_sshd" -T -C "$harden_test" 2>/dev/null; } | harden_text effective
        done
        grep -nHiE '^[[:space:]]*(Include|Match|AllowUsers|AuthenticationMethods|[A-Za-z]+(Authentication|Login|Passwords|Forwarding))[[:space:]=]' \
            /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf 2>/dev/null | harden_text settings
    fi
    harden_keys=$([ -z "$harden_sshd" ] || "$harden_sshd" -T 2>/dev/null | sed -n 's/^authorizedkeysfile //p')
    getent passwd 2>/dev/null | while IFS=: read -r harden_user _ _ _ _ harden_home harden_shell; do
        case $harden_shell in */nologin | */false) continue ;; esac
        for harden_path in ${harden_keys:-.ssh/authorized_keys}; do
            harden_path=$(printf '%s\n' "$harden_path" | sed "s,%h,$harden_home,g; s,%u,$harden_user,g")
            case $harden_path in /*) ;; *) harden_path=$harden_home/$harden_path ;; esac
            if [ -s "$harden_path" ]; then printf 'harden_account=%s\n' "$harden_user"; break; fi
        done
    done
    for harden_path in /etc/ssh/sshd_config.d/00-reconciler.conf /etc/reconciler-firewall/rules.nft \
        /etc/systemd/system/reconciler-firewall.service /etc/fail2ban/jail.d/reconciler.local \
        /etc/fail2ban/filter.d/reconciler-sshd.conf; do
        if [ -r "$harden_path" ]; then
            { printf '%s\n' "$harden_path"; cat "$harden_path"; } | harden_text file
        fi
    done
    for harden_package in nftables fail2ban python3-systemd; do
        if dpkg-query -W -f '${db:Status-Status}' "$harden_package" 2>/dev/null | grep -qx installed; then
            printf 'harden_package=%s\n' "$harden_package"
        fi
    done
    for harden_unit in ufw firewalld nftables reconciler-firewall fail2ban reconciler-return.timer; do
        printf 'harden_unit=%s %s %s\n' "$harden_unit" \
            "$(systemctl is-active "$harden_unit" 2>/dev/null || true)" "$(systemctl is-enabled "$harden_unit" 2>/dev/null || true)"
    done
    if ufw status 2>/dev/null | grep -q '^Status: active'; then printf 'harden_ufw=active\n'; fi
    # What the file means to this version of nft, in a network of its own that ends with the command.
    nft -s list table inet reconciler 2>/dev/null | harden_text rules
    if [ -r /etc/reconciler-firewall/rules.nft ]; then
        unshare -n sh -c 'nft -f /etc/reconciler-firewall/rules.nft && nft -s list table inet reconciler' 2>/dev/null |
            harden_text rules_of_file
    fi
    fail2ban-client status sshd 2>/dev/null | harden_text jail
    fail2ban-client get sshd journalmatch 2>/dev/null | harden_text journal
    if [ -d /var/lib/reconciler-harden/pending ] || [ -d /var/lib/reconciler-harden/returning ]; then
        printf 'harden_pending=yes\n'
    fi
}
harden_look
