# Improvement score against relative compute.  Change it as you like and draw it again:
#   gnuplot improvement.gp >improvement.svg
#   gnuplot -c improvement.gp png >improvement.png
if (exists("ARGC") && ARGC > 0) {
    set terminal pngcairo size 1040,800 noenhanced font "sans-serif,22" linewidth 2 pointscale 2 background "white"
} else {
    set terminal svg size 520,400 noenhanced font "sans-serif,14" background "white"
}
set linetype 1 linecolor rgb "#0072b2"
set linetype 2 linecolor rgb "#d55e00"
set linetype 3 linecolor rgb "#009e73"
set linetype 4 linecolor rgb "#cc79a7"
set linetype 5 linecolor rgb "#e69f00"
set linetype 6 linecolor rgb "#56b4e9"
set linetype 7 linecolor rgb "#000000"
set linetype 8 linecolor rgb "#999999"
set linetype cycle 8
set grid linetype 1 linecolor rgb "#e4e4e4"
set border linecolor rgb "#555555"
set key below left Left reverse samplen 2 height 0.5
set xlabel "relative compute (Best-of-120 = 1)"
set ylabel "improvement score (Best-of-120 = 100)"
$series1 << END
0.254538628 94.0377874 0.247161399 0.261479336 92.821088 95.1600255 30
0.524045026 97.5696111 0.508522728 0.541179095 96.838025 98.2636253 60
1 100 1 1 100 100 120
1.94552792 101.614784 1.90194546 1.98729639 101.143176 102.13136 240
END
$series2 << END
0.208407967 97.5696111 0.203478653 0.213097358 96.838025 98.2636253 0.3
0.18593696 97.5696111 0.179874747 0.191708686 96.838025 98.2636253 0.5
0.165668569 97.2735637 0.160301968 0.170667 96.3815349 98.0920588 0.7
0.138867249 96.4922569 0.133401749 0.144771831 95.7943416 97.1301889 0.9
END
$series3 << END
0.253835436 99.9599466 0.246205028 0.261018986 99.8798399 100 0.3
0.222572615 99.9599466 0.215866954 0.22854244 99.8798399 100 0.5
0.194790452 99.265993 0.189121717 0.199915894 98.8194541 99.6676781 0.7
0.151650822 94.5989355 0.14575964 0.156868741 93.3988612 95.745578 0.9
END
set logscale x 2
set autoscale xfix
set offsets graph 0.05, graph 0.08, graph 0.05, graph 0.08
set key bmargin left Left reverse vertical maxrows 3
plot $series1 using 1:2:3:4:5:6 with xyerrorbars linetype 1 pointtype 7 title 'Best-of-N, by N', \
     $series1 using 1:2 with lines linetype 1 notitle, \
     $series1 every 3::0 using 1:2:7 with labels offset 1.2,0.8 notitle, \
     $series1 every 3::1 using 1:2:7 with labels offset 1.4,-0.8 notitle, \
     $series1 every 3::2 using 1:2:7 with labels offset -1.4,0.8 notitle, \
     $series2 using 1:2:3:4:5:6 with xyerrorbars linetype 2 pointtype 5 title 'Speculative Rejection, N 60, by alpha', \
     $series2 every 3::0 using 1:2:7 with labels offset 1.2,0.8 notitle, \
     $series2 every 3::1 using 1:2:7 with labels offset 1.4,-0.8 notitle, \
     $series2 every 3::2 using 1:2:7 with labels offset -1.4,0.8 notitle, \
     $series3 using 1:2:3:4:5:6 with xyerrorbars linetype 3 pointtype 5 title 'Speculative Rejection, N 120, by alpha', \
     $series3 every 3::0 using 1:2:7 with labels offset 1.2,0.8 notitle, \
     $series3 every 3::1 using 1:2:7 with labels offset 1.4,-0.8 notitle, \
     $series3 every 3::2 using 1:2:7 with labels offset -1.4,0.8 notitle
